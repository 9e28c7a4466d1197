package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/posthorn/posthorn/internal/backoff"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// Receiver is a webhook that is ready for sending.
type Receiver struct {
	Webhook *models.Webhook
	Policy  backoff.Policy
	Timeout time.Duration
	Host    string // of the webhook's URL, for the limits and measurements of a host
	// CountsInTotal: a success does not reset the failure count.
	CountsInTotal bool
	TenantRate    float64 // deliveries a second to all webhooks of the tenant together; 0 = no limit
	opened        *sealed
}

// Receiver returns the webhook as it was at most a second ago: NotFound if it has been deleted, a SealedError if its
// secrets cannot be opened.
func (s *Service) Receiver(ctx context.Context, tenant, id string) (*Receiver, error) {
	v, err := s.directory.current(ctx, tenant)
	if err != nil {
		return nil, err
	}
	e, ok := v.webhooks[id]
	if !ok { // another process may have created it within the last second
		now, err := s.directory.load(ctx, tenant)
		if err != nil {
			return nil, err
		}
		if e, ok = now.webhooks[id]; !ok {
			return nil, Refuse(NotFound, "there is no such webhook")
		}
		v = now.view
	}
	r, err := s.receiverOf(ctx, e)
	if err == nil {
		r.TenantRate = v.rate
	}
	return r, err
}

func (s *Service) receiverOf(ctx context.Context, e *entry) (*Receiver, error) {
	if e.webhook.Apart {
		return s.apart(ctx, e)
	}
	e.open.Do(func() { e.opened, e.err = s.unseal(&e.webhook) })
	if e.err != nil {
		return nil, e.err
	}
	return s.receiver(&e.webhook, e.opened), nil
}

// apart is Receiver for a webhook whose headers are too large to keep in memory: they are read for each POST.
func (s *Service) apart(ctx context.Context, e *entry) (*Receiver, error) {
	w, err := s.Webhook(ctx, e.webhook.Tenant, e.webhook.ID)
	if err != nil {
		return nil, err
	}
	opened, err := s.unseal(&w)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	return s.receiver(&e.webhook, opened), nil
}

// Sendable reports whether the webhook was active at most a second ago. It is true if that is unknown.
func (s *Service) Sendable(ctx context.Context, tenant, id string) bool {
	v, err := s.directory.current(ctx, tenant)
	if err != nil {
		return !errors.Is(err, models.ErrNotFound)
	}
	e, ok := v.webhooks[id]
	return !ok || e.webhook.Status == models.WebhookActive // a webhook that is not in the view may be newer
}

func (s *Service) receiver(w *models.Webhook, o *sealed) *Receiver {
	r := &Receiver{Webhook: w, Policy: s.policy(w.Retry), Timeout: s.Timeout, Host: sender.Host(w.URL), CountsInTotal: rulesOf(w.Profile).countsInTotal, opened: o}
	if w.TimeoutMS > 0 {
		r.Timeout = time.Duration(w.TimeoutMS) * time.Millisecond
	}
	return r
}

// Effective returns a webhook's retry schedule and timeout, with the installation's defaults for those it does not
// set.
func (s *Service) Effective(w *models.Webhook) (backoff.Policy, time.Duration) {
	r := s.receiver(w, nil)
	return r.Policy, r.Timeout
}

// policy fills the unset parts of a webhook's schedule with the installation's defaults.
func (s *Service) policy(r models.Retry) backoff.Policy {
	p := s.Retry
	if r.Initial > 0 {
		p.Initial = r.Initial
	}
	if r.Backoff > 0 {
		p.Backoff = r.Backoff
	}
	if r.MaxInterval > 0 {
		p.MaxInterval = r.MaxInterval
	}
	if r.Max != nil {
		p.Max = *r.Max
	}
	return p
}

// Post makes one signed POST of the event to the receiver and returns its record: of the attempt itself, not of what
// it means for a delivery. Secrets of the message are masked in the stored part of the answer.
func (s *Service) Post(ctx context.Context, r *Receiver, e *models.Event) (models.Attempt, sender.Result) {
	attempt, result, _ := s.post(ctx, r, e, false) // without the body: records may have to wait for the database
	return attempt, result
}

func (s *Service) post(ctx context.Context, r *Receiver, e *models.Event, test bool) (_ models.Attempt, _ sender.Result, body []byte) {
	at := s.Now()
	w := r.opened.onWire(r.Webhook, at)
	event := onWire(e)
	event.Test = test
	message, err := wire.Build(w, event, at)
	if err != nil {
		s.Log.ErrorContext(ctx, "event cannot be put on the wire", "tenant", e.Tenant, "event", e.ID, "webhook", r.Webhook.ID, "error", err)
		result := sender.Result{StartedAt: at, Error: "the event cannot be put into this webhook's format", Outcome: sender.Failed}
		return s.attempt(r, &result), result, nil
	}
	result := s.Poster.Post(ctx, sender.Request{URL: r.Webhook.URL, Header: message.Header, Body: message.Body, Timeout: r.Timeout})
	custom := make([]string, 0, len(r.opened.headers))
	for name := range r.opened.headers {
		custom = append(custom, name)
	}
	secret := wire.SecretsOf(w, message.Header)
	result.Body, result.Header = secret.Mask(result.Body, result.BodyTruncated), secret.MaskHeader(result.Header)
	attempt := s.attempt(r, &result)
	attempt.RequestHeaders = wire.MaskedHeaders(message.Header, custom...)
	return attempt, result, message.Body
}

// attempt returns the record of a POST. The answer must already be masked.
func (s *Service) attempt(r *Receiver, result *sender.Result) models.Attempt {
	a := models.Attempt{Tenant: r.Webhook.Tenant, ID: models.NewID(models.PrefixAttempt), WebhookID: r.Webhook.ID,
		StartedAt: result.StartedAt.UTC().Truncate(time.Millisecond), DurationMS: result.Duration.Milliseconds(),
		URL: result.URL, StatusCode: result.StatusCode, Error: result.Error, ResponseBody: result.Body}
	if a.URL == "" { // nothing was sent
		a.URL = r.Webhook.URL
	}
	a.SetResponseHeaders(result.Header)
	a.Detail.BodyTruncated = result.BodyTruncated
	for _, t := range result.Tries {
		a.Detail.Tries = append(a.Detail.Tries, models.Try{StartedAt: t.StartedAt.UTC().Truncate(time.Millisecond), Error: t.Error})
	}
	return a
}

func onWire(e *models.Event) wire.Event {
	return wire.Event{ID: e.ID, Tenant: models.TenantSlug(e.Tenant), Type: e.Type, Timestamp: e.CreatedAt, Data: e.Data, Attributes: e.Attributes}
}
