package service

import (
	"context"
	"time"

	"github.com/posthorn/posthorn/models"
)

// Direct sets the most deliveries of one event, and of one request, that are stored with them.
func (s *Service) Direct(event, request int) { s.fanOutAbove, s.maxDirect = event, request }

// LaterMost sets the most batches of a tenant whose deliveries wait in the database, and how long the next one waits for room there.
func (s *Service) LaterMost(n int, wait time.Duration) { s.laterMost, s.laterWait = n, wait }

// TypeOf returns a tenant's type with this name, to compare its identity.
func (s *Service) TypeOf(ctx context.Context, tenant, name string) (any, error) {
	v, err := s.directory.cached(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return v.eventType(name), nil
}

// EntryOf returns the cached entry of a webhook, to compare its identity.
func (s *Service) EntryOf(ctx context.Context, tenant, id string) (any, error) {
	v, err := s.directory.load(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return v.webhooks[id], nil
}

// WaitForTests sets how long test POSTs wait.
func (s *Service) WaitForTests(d time.Duration) { s.trials.wait = d }

// IsApart reports whether the cached entry of a webhook lacks its headers and secrets.
func (s *Service) IsApart(ctx context.Context, tenant, id string) bool {
	v, err := s.directory.load(ctx, tenant)
	if err != nil {
		panic(err)
	}
	w := &v.webhooks[id].webhook
	return w.Apart && w.Headers == nil && w.Secrets == nil
}

// Signing returns the secrets of a webhook that sign now, newest first.
func (s *Service) Signing(w *models.Webhook) ([]string, error) {
	o, err := s.unseal(w)
	if err != nil {
		return nil, err
	}
	return o.active(s.Now()), nil
}

// SchemaOf returns the compiled schema of a tenant's type, to compare its identity.
func (s *Service) SchemaOf(ctx context.Context, tenant, name string) (any, error) {
	v, err := s.directory.cached(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return v.eventType(name).compiled()
}

// Candidates counts the webhooks that matching an event looks at, and those that match.
func (s *Service) Candidates(ctx context.Context, tenant, eventType string, channels ...string) (looked, matched int, err error) {
	v, err := s.directory.load(ctx, tenant)
	if err != nil {
		return 0, 0, err
	}
	looked = len(v.exact[eventType]) + len(v.patterns)
	for _, c := range channels {
		looked += len(v.exact[onChannel+c])
	}
	return looked, len(v.match(eventType, channels)), nil
}
