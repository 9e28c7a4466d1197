package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// registerFor bounds each call to Posthorn.
	registerFor = 10 * time.Second
	// nonceHeader is in the question whether a URL leads to this receiver, and in its answer.
	nonceHeader = "X-Posthorn-Listen"
)

// register makes a webhook that leads to the receiver. remove deletes it again.
func (c *ListenCommand) register(ctx context.Context, env Environment, r *receiver, here string) (remove func() error, err error) {
	to := c.PublicURL
	if to == "" {
		if !isLocal(c.URL) {
			return nil, fmt.Errorf("--register: the Posthorn at %s is not on this machine and does not reach %s: "+
				"say with --public-url where it does", c.URL, here)
		}
		to = here
	} else if err := r.leadsHere(ctx, to); err != nil {
		return nil, fmt.Errorf("--public-url: %s does not lead to this receiver: %w", to, err)
	}
	host, _ := os.Hostname()
	var made struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	err = c.call(ctx, http.MethodPost, "", map[string]string{"url": to, "name": "posthorn listen",
		"description": "Made by posthorn listen on " + host + ", which removes it when it ends."}, &made)
	if err != nil {
		return nil, fmt.Errorf("--register: %w", c.explain(err))
	}
	verifiers, err := newVerifiers([]string{made.Secret})
	r.mu.Lock()
	r.verifiers = append(r.verifiers, verifiers...)
	r.mu.Unlock()
	remove = func() error {
		err := c.call(context.WithoutCancel(ctx), http.MethodDelete, "/"+made.ID, nil, nil)
		if answer, ok := errors.AsType[*refusedError](err); err != nil && (!ok || answer.Status != http.StatusNotFound) {
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

// isLocal reports whether a URL is of this machine.
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

// refusedError is an answer of Posthorn that is no success.
type refusedError struct {
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Errors []struct {
		Field   string `json:"field"`
		Message string `json:"message"`
	} `json:"errors"`
}

// Error implements error.
func (e *refusedError) Error() string {
	texts := []string{fmt.Sprintf("%d: %s", e.Status, e.Detail)}
	for _, f := range e.Errors {
		texts = append(texts, f.Field+": "+f.Message)
	}
	return strings.Join(texts, "; ")
}

// call makes a call about the tenant's webhooks.
func (c *ListenCommand) call(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, registerFor)
	defer cancel()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	target := strings.TrimRight(c.URL, "/") + "/v1/tenants/" + url.PathEscape(c.Tenant) + "/webhooks" + path
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.Register.Reveal())
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		refused := &refusedError{}
		if json.Unmarshal(answer, refused) != nil || refused.Status == 0 {
			refused = &refusedError{Detail: "something that is no Posthorn answers there"}
		}
		refused.Status = response.StatusCode
		return refused
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// explain adds to an error of a registration what to do about it.
func (c *ListenCommand) explain(err error) error {
	refused, ok := errors.AsType[*refusedError](err)
	if !ok {
		return fmt.Errorf("no Posthorn at %s: start one, or say where it is with --url (POSTHORN_URL): %w", c.URL, err)
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
			return fmt.Errorf("%s does not send to this machine over http, as a dev does: say with --public-url where it reaches this receiver: %w", c.URL, err)
		}
	}
	return err
}
