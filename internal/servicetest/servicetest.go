// Package servicetest is a whole Posthorn for tests, without its engine. It has the use cases on a real, migrated
// database, and a real sender that reaches loopback receivers and resolves no names. Its Engine only remembers the
// requests to it.
//
// It is only for tests, and must not import an API package, because the tests of those import it.
package servicetest

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/backoff"
	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/models/modelstest"
)

// AdminKey is the bootstrap admin key of every Env.
const AdminKey = "admin-key-for-tests-only"

// Retention is how long every Env keeps events.
const Retention = 14 * 24 * time.Hour

// Threshold is the number of failed receptions that deactivates a webhook in every Env.
const Threshold = 3000

// Env is one installation, empty except for the operational event types.
type Env struct {
	tb      testing.TB
	Store   *models.Store
	Service *service.Service
	Engine  *Engine
	Clock   *Clock
	// Pauses are the waits of failed authentications, none of which takes any time here.
	Pauses *Pauses

	options service.Options
}

// Option changes the sender's or the use cases' configuration before they are made.
type Option func(*sender.Config, *service.Options)

// Strict sets the production guard: https to public addresses only. Without it loopback receivers are allowed, over
// plain http too, as in `posthorn dev`.
func Strict(c *sender.Config, o *service.Options) { c.AllowLoopbackHTTP, o.Dev = false, false }

// WithPoster replaces the sender: POSTs go to p. The guard stays.
func WithPoster(p service.Poster) Option {
	return func(_ *sender.Config, o *service.Options) { o.Poster = p }
}

// New returns an Env that ends with the test.
func New(tb testing.TB, options ...Option) *Env {
	tb.Helper()
	clock := &Clock{}
	store, err := models.Open(tb.Context(), modelstest.SQLite(tb), models.Options{Now: clock.Now, Actor: service.AuditActor})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, store.Close()) })

	keyset, err := secrets.NewKeyset()
	require.NoError(tb, err)
	box, err := secrets.OpenBox(keyset)
	require.NoError(tb, err)

	engine, pauses := &Engine{}, &Pauses{}
	c := sender.Config{AllowLoopbackHTTP: true, Resolver: noNames{}, Now: clock.Now}
	o := service.Options{Store: store, Box: box, Engine: engine, AdminKey: AdminKey, Retry: backoff.Default, Timeout: sender.DefaultTimeout,
		Threshold: Threshold, Retention: Retention, GroupMax: models.MaxDispatch, PublicURL: "https://posthorn.example", Dev: true, Log: slog.New(slog.DiscardHandler), Now: clock.Now,
		Pause: pauses.add, Limits: delivery.NewLimits(store.LeaseHolder, store, clock.Now)}
	for _, option := range options {
		option(&c, &o)
	}
	client := sender.New(c)
	tb.Cleanup(client.Close)
	o.Guard = client.Guard()
	if o.Poster == nil {
		o.Poster = client
	}
	service := service.New(o)
	tb.Cleanup(service.Close)
	require.NoError(tb, service.EnsureOperationalTypes(tb.Context()))
	return &Env{tb: tb, Store: store, Service: service, Engine: engine, Clock: clock, Pauses: pauses, options: o}
}

// Another returns the use cases of another process of the same installation. This process does not learn of its
// actions.
func (e *Env) Another() *service.Service {
	s := service.New(e.options)
	e.tb.Cleanup(s.Close)
	return s
}

// Tenant creates a tenant and returns a key for it with role tenant.
func (e *Env) Tenant(slug string) (key string) {
	e.tb.Helper()
	t, _, err := e.Service.PutTenant(e.tb.Context(), models.Tenant{ID: slug, Name: slug})
	require.NoError(e.tb, err)
	return e.Key(t.ID, models.RoleTenant)
}

// TenantAgain deletes a tenant and creates another one with its name. It returns the new tenant's id and a key for it.
func (e *Env) TenantAgain(slug string) (id, key string) {
	e.tb.Helper()
	old, err := e.Store.TenantBySlug(e.tb.Context(), slug)
	require.NoError(e.tb, err)
	require.NoError(e.tb, e.Service.DeleteTenant(e.tb.Context(), old.ID))
	key = e.Tenant(slug)
	t, err := e.Store.TenantBySlug(e.tb.Context(), slug)
	require.NoError(e.tb, err)
	require.NotEqual(e.tb, old.ID, t.ID)
	return t.ID, key
}

// Key makes a key for the tenant.
func (e *Env) Key(tenant string, role models.Role) string {
	e.tb.Helper()
	_, key, err := e.Service.CreateKey(e.tb.Context(), tenant, string(role), role)
	require.NoError(e.tb, err)
	return key
}

// EventTypes creates event types without a schema that all tenants share.
func (e *Env) EventTypes(names ...string) {
	e.tb.Helper()
	for _, name := range names {
		_, err := e.Service.PutEventType(e.tb.Context(), models.EventType{Name: name})
		require.NoError(e.tb, err)
	}
}

// Webhook registers a standard webhook for every event type.
func (e *Env) Webhook(tenant, url string) models.Webhook {
	e.tb.Helper()
	w, _, err := e.Service.CreateWebhook(e.tb.Context(), tenant, service.WebhookChange{URL: &url, By: "test"})
	require.NoError(e.tb, err)
	return w
}

// Publish publishes one event and returns its id.
func (e *Env) Publish(tenant, eventType, data string) string {
	e.tb.Helper()
	published, err := e.Service.Publish(e.tb.Context(), tenant, service.PublishRequest{Events: []service.EventInput{{Type: eventType, Data: []byte(data)}}})
	require.NoError(e.tb, err)
	return published[0].ID
}

// Deliveries reads the deliveries of an event.
func (e *Env) Deliveries(tenant, eventID string) []models.Delivery {
	e.tb.Helper()
	rows, _, err := e.Store.Deliveries(e.tb.Context(), tenant, models.DeliveryFilter{EventID: eventID}, models.Page{Limit: models.MaxDispatch})
	require.NoError(e.tb, err)
	return rows
}

// Attempt makes one real attempt of a pending delivery and records it, as the engine would.
func (e *Env) Attempt(tenant, deliveryID string) models.Attempt {
	e.tb.Helper()
	ctx := e.tb.Context()
	d, err := e.Store.Delivery(ctx, tenant, deliveryID)
	require.NoError(e.tb, err)
	event, err := e.Store.Event(ctx, tenant, d.EventID)
	require.NoError(e.tb, err)
	e.Clock.Advance(2 * time.Second) // longer than the use cases remember the webhook
	r, err := e.Service.Receiver(ctx, tenant, d.WebhookID)
	require.NoError(e.tb, err)
	attempt, result := e.Service.Post(ctx, r, &event)
	require.NotEqual(e.tb, sender.Local, result.Outcome, "%s: %s", result.Reason, result.Error) // nothing to record
	attempt.DeliveryID = d.ID
	record := models.Record{Attempt: attempt, Generation: d.Generation, DispatchID: d.DispatchID, AcceptedAt: event.CreatedAt, EventType: event.Type, CountsInTotal: r.CountsInTotal,
		Epoch: r.Webhook.Health.Epoch}
	decision := delivery.Decide(&d, r.Policy, &result, false)
	record.Status, record.NextAttemptAt = decision.Status, decision.Next
	_, err = e.Store.Record(ctx, []*models.Record{&record}, nil)
	require.NoError(e.tb, err)
	return record.Attempt
}

// noNames resolves nothing: tests make no lookups, and a name that does not resolve may be registered.
type noNames struct{}

func (noNames) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}
