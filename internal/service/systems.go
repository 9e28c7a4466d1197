package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// systemPage is how many of a system's webhooks are read at once.
const systemPage = 1000

// SystemWebhooks returns all of the tenant's webhooks of one profile, oldest first.
func (s *Service) SystemWebhooks(ctx context.Context, tenant, profile string) ([]models.Webhook, error) {
	var all []models.Webhook
	for page := (models.Page{Limit: systemPage}); ; {
		rows, next, err := s.Webhooks(ctx, tenant, models.WebhookFilter{Profile: profile}, page)
		all = append(all, rows...)
		if err != nil || next == "" {
			return all, err
		}
		page.After = next
	}
}

// CheckWebhook returns everything that is wrong with creating a webhook from c, or changing it by c. It changes
// nothing. Event types that the tenant does not know are not wrong: WithCatalog handles them.
func (s *Service) CheckWebhook(ctx context.Context, tenant string, c WebhookChange) ([]FieldError, error) {
	w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: tenant, Profile: c.Profile}
	err := s.make(ctx, &w, &sealed{}, c)
	if refused, ok := errors.AsType[*Error](err); ok && refused.Code == Invalid {
		return slices.DeleteFunc(slices.Clone(refused.Fields), ofEventTypes), nil
	}
	return nil, err
}

// WithCatalog loads the catalogue of c's profile for the tenant and then runs do, which creates or changes a webhook
// as c says: a client of the original has no call to load a catalogue. The tenant then has the system's own types,
// even if all tenants share some with the same names. Types of the system that it already has stay as they are.
// Conflict if c names a type that belongs to another system in this tenant. Call it after CheckWebhook has found
// nothing wrong.
func (s *Service) WithCatalog(ctx context.Context, tenant string, c WebhookChange, do func() error) error {
	if c.EventTypes == nil {
		return do()
	}
	listed, _ := catalog.Load(c.Profile)
	err := s.Store.CompleteCatalog(ctx, fromCatalog(tenant, c.Profile, listed), *c.EventTypes)
	if s.directory.forget(tenant); err != nil {
		return catalogRefused(err, c.Profile)
	}
	return do()
}

func ofEventTypes(f FieldError) bool { return strings.HasPrefix(f.Field, "event_types[") }

// catalogRefused returns why a system's catalogue cannot be loaded.
func catalogRefused(err error, system string) error {
	if taken, ok := errors.AsType[*models.TypeTakenError](err); ok {
		return Refuse(Conflict, "the event type %q belongs to %s in this tenant, and a type has one form: use another tenant for %s",
			taken.Name, taken.System, system)
	}
	return known(err, "tenant")
}

// SendExample POSTs an example of one event to a webhook now, whether it is registered for the event or not. Otherwise
// it works like TestWebhook. It is for the systems whose test call has its own event.
func (s *Service) SendExample(ctx context.Context, tenant, id, eventType string) (TestResult, error) {
	w, err := s.Webhook(ctx, tenant, id)
	if err != nil {
		return TestResult{}, err
	}
	return s.SendSample(ctx, tenant, id, eventType, s.example(ctx, tenant, w.Profile, eventType))
}

// SendSample is SendExample with the caller's data.
func (s *Service) SendSample(ctx context.Context, tenant, id, eventType string, data []byte) (TestResult, error) {
	w, err := s.Webhook(ctx, tenant, id)
	if err != nil {
		return TestResult{}, err
	}
	opened, err := s.unseal(&w)
	if err != nil {
		return TestResult{}, err
	}
	return s.testOnce(ctx, s.receiver(&w, opened), eventType, data)
}

// Preview returns the body that a webhook of this profile would get for the example of an event type.
func (s *Service) Preview(ctx context.Context, tenant, profile, eventType string) ([]byte, error) {
	slug := models.TenantSlug(tenant)
	e := wire.Event{ID: models.NewID(models.PrefixEvent), Tenant: slug, Type: eventType,
		Timestamp: s.Now().UTC().Truncate(time.Millisecond), Data: s.example(ctx, tenant, profile, eventType)}
	return wire.Body(wire.Webhook{Tenant: slug, Profile: profile}, e)
}

// SystemSettings reads a system's settings for the tenant into v. False = there are none, and v is unchanged.
func (s *Service) SystemSettings(ctx context.Context, tenant, system string, v any) (bool, error) {
	row, err := s.Store.SystemSettings(ctx, tenant, system)
	switch {
	case errors.Is(err, models.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	if err := json.Unmarshal([]byte(row.Settings), v); err != nil {
		return false, fmt.Errorf("hooks: %s settings of %s: %w", system, tenant, err)
	}
	return true, nil
}

// KeepSystemSettings replaces a system's settings for the tenant; nil = removes them.
func (s *Service) KeepSystemSettings(ctx context.Context, tenant, system string, v any) error {
	if v == nil {
		return s.Store.DeleteSystemSettings(ctx, tenant, system)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.Store.PutSystemSettings(ctx, tenant, system, string(text))
}
