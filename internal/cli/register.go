package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/posthorn/posthorn/client"
)

const (
	// registerFor bounds each call to Posthorn.
	registerFor = 10 * time.Second
	// nonceHeader stands in the question whether a URL leads to this receiver, and in the answer.
	nonceHeader = "X-Posthorn-Listen"
)

// register creates a webhook that leads to the receiver. remove deletes it again.
func (c *ListenCommand) register(ctx context.Context, env Environment, r *receiver, here string) (remove func() error, err error) {
	to := c.PublicURL
	if to == "" {
		if !isLocal(c.URL) {
			return nil, fmt.Errorf("--register: the Posthorn at %s is not on this machine and does not reach %s: "+
				"give the URL at which it does with --public-url", c.URL, here)
		}
		to = here
	} else if err := r.leadsHere(ctx, to); err != nil {
		return nil, fmt.Errorf("--public-url: %s does not lead to this receiver: %w", to, err)
	}
	host, _ := os.Hostname()
	var made client.NewWebhook
	err = c.call(ctx, func(ctx context.Context, api *client.ClientWithResponses) error {
		answer, err := api.CreateWebhookWithResponse(ctx, c.Tenant, client.WebhookInput{URL: to, Name: new("posthorn listen"),
			Description: new("Created by posthorn listen on " + host + ", which removes it when it ends.")})
		if err == nil && answer.JSON201 != nil {
			made = *answer.JSON201
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("--register: %w", c.explain(err))
	}
	secret := ""
	if made.Secret != nil {
		secret = *made.Secret
	}
	verifiers, err := newVerifiers([]string{secret})
	r.mu.Lock()
	r.verifiers = append(r.verifiers, verifiers...)
	r.mu.Unlock()
	remove = func() error {
		err := c.call(ctx, func(ctx context.Context, api *client.ClientWithResponses) error {
			_, err := api.DeleteWebhookWithResponse(ctx, c.Tenant, made.ID)
			return err
		})
		if answer, ok := errors.AsType[*client.Error](err); err != nil && (!ok || answer.Status != http.StatusNotFound) {
			return fmt.Errorf("the webhook %s of the tenant %s could not be removed; delete it by hand: %w", made.ID, c.Tenant, err)
		}
		_, err = fmt.Fprintf(env.Out, "the webhook %s was removed\n", made.ID)
		return err
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--register: the answer of %s is not a webhook's", c.URL), remove())
	}
	_, err = fmt.Fprintf(env.Out, "registered the webhook %s of the tenant %s for every event type, at %s\n", made.ID, c.Tenant, to)
	return remove, err
}

// isLocal reports whether a URL points to this machine.
func isLocal(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return strings.EqualFold(u.Hostname(), "localhost") || ip != nil && ip.IsLoopback()
}

// isQuestion reports whether a request asks whether a URL leads here.
func (r *receiver) isQuestion(request *http.Request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nonce != "" && request.Method == http.MethodGet && request.Header.Get(nonceHeader) == r.nonce
}

// leadsHere asks a URL whether this receiver answers there.
func (r *receiver) leadsHere(ctx context.Context, to string) error {
	nonce := rand.Text()
	set := func(n string) {
		r.mu.Lock()
		r.nonce = n
		r.mu.Unlock()
	}
	set(nonce)
	defer set("")
	ctx, cancel := context.WithTimeout(ctx, registerFor)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return err
	}
	request.Header.Set(nonceHeader, nonce)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.Header.Get(nonceHeader) != nonce {
		return fmt.Errorf("something else answers there, with %s", response.Status)
	}
	return nil
}

// call makes a call about the tenant's webhooks. A signal does not end it, because a half-created webhook would stay.
func (c *ListenCommand) call(ctx context.Context, do func(context.Context, *client.ClientWithResponses) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), registerFor)
	defer cancel()
	api, err := client.New(strings.TrimRight(c.URL, "/"), c.Register.Reveal())
	if err != nil {
		return err
	}
	return do(ctx, api)
}

// explain adds to an error of a registration how to solve it.
func (c *ListenCommand) explain(err error) error {
	refused, ok := errors.AsType[*client.Error](err)
	if !ok {
		return fmt.Errorf("no Posthorn at %s: start one, or give its URL with --url (POSTHORN_URL): %w", c.URL, err)
	}
	switch refused.Status {
	case http.StatusUnauthorized:
		return fmt.Errorf("%s does not know the key: %w", c.URL, err)
	case http.StatusForbidden:
		return fmt.Errorf("the key must be an admin key, or one of the tenant %s with role tenant (--tenant, POSTHORN_TENANT): %w", c.Tenant, err)
	case http.StatusNotFound:
		return fmt.Errorf("%s has no tenant %s for this key: name it with --tenant (POSTHORN_TENANT): %w", c.URL, c.Tenant, err)
	case http.StatusUnprocessableEntity:
		if c.PublicURL == "" {
			return fmt.Errorf("%s does not send to this machine over http, as a dev does: give the URL at which it reaches this receiver with --public-url: %w", c.URL, err)
		}
	}
	return err
}
