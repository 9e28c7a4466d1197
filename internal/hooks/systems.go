package hooks

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

// SystemWebhooks gives all of the tenant's webhooks of one profile, oldest first.
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

// WithCatalog does what registers a webhook for event types that the caller knows to be of a system's catalogue. If
// all that is wrong is that the tenant does not know them yet, what it lacks of the catalogue is loaded and do runs
// again: a client of the original has no call to load a catalogue with. What the tenant knows already stays as it is,
// and so does everything if something else is wrong too; only that is then told.
func (s *Service) WithCatalog(ctx context.Context, tenant, system string, do func() error) error {
	err := do()
	var refused *Error
	if !errors.As(err, &refused) || !slices.ContainsFunc(refused.Fields, ofEventTypes) {
		return err
	}
	if rest := slices.DeleteFunc(slices.Clone(refused.Fields), ofEventTypes); len(rest) > 0 {
		return &Error{Code: refused.Code, Detail: refused.Detail, Fields: rest}
	}
	if err := s.completeCatalog(ctx, tenant, system); err != nil {
		return err
	}
	return do()
}

func ofEventTypes(f FieldError) bool { return strings.HasPrefix(f.Field, "event_types[") }

func (s *Service) completeCatalog(ctx context.Context, tenant, system string) error {
	listed, _ := catalog.Load(system)
	names, err := s.Store.EventTypeNames(ctx, tenant)
	if err != nil {
		return err
	}
	listed = slices.DeleteFunc(listed, func(t catalog.EventType) bool { return slices.Contains(names, t.Name) })
	err = s.Store.PutEventTypes(ctx, fromCatalog(tenant, system, listed))
	s.directory.forget(tenant)
	return known(err, "tenant")
}

// SendExample POSTs an example of one event to a webhook now, whether it is registered for the event or not; else
// it is as TestWebhook. For the systems whose test call has an event of its own.
func (s *Service) SendExample(ctx context.Context, tenant, id, eventType string) (TestResult, error) {
	w, err := s.Webhook(ctx, tenant, id)
	if err != nil {
		return TestResult{}, err
	}
	opened, err := s.unseal(&w)
	if err != nil {
		return TestResult{}, err
	}
	return s.testOnce(ctx, s.receiver(&w, opened), eventType, s.example(ctx, tenant, w.Profile, eventType))
}

// Preview gives the body that a webhook of this profile would get for the example of an event type.
func (s *Service) Preview(ctx context.Context, tenant, profile, eventType string) ([]byte, error) {
	slug := models.TenantSlug(tenant)
	e := wire.Event{ID: models.NewID(models.PrefixEvent), Tenant: slug, Type: eventType,
		Timestamp: s.Now().UTC().Truncate(time.Millisecond), Data: s.example(ctx, tenant, profile, eventType)}
	return wire.Body(wire.Webhook{Tenant: slug, Profile: profile}, e)
}

// SystemSettings reads what a system keeps for the tenant into v. False = it keeps nothing, and v is as it was.
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

// KeepSystemSettings replaces what a system keeps for the tenant; nil = it keeps nothing any more.
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
