package service

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// Timeline is a delivery with all its attempts and all planned ones.
type Timeline struct {
	models.Delivery
	History    []models.Attempt
	Upcoming   []Planned
	WorkflowID string
	UIURL      string
}

// reasonPaused is shown for a pending delivery that is paused in Temporal.
const reasonPaused = "paused in Temporal"

// Planned is an attempt that follows if all before it fail.
type Planned struct {
	Number int
	At     time.Time
}

// Deliveries lists a tenant's deliveries; tenant "" = those of all tenants.
func (s *Service) Deliveries(ctx context.Context, tenant string, f models.DeliveryFilter, page models.Page) ([]models.Delivery, string, error) {
	return readPage(ctx, s, "delivery", func(ctx context.Context, store *models.Store) ([]models.Delivery, string, error) {
		return store.Deliveries(ctx, tenant, f, page)
	})
}

// DeliveriesNamed lists the deliveries that a name finds: see models.Store.DeliveriesNamed. With the name "" it is Deliveries.
func (s *Service) DeliveriesNamed(ctx context.Context, tenant string, f models.DeliveryFilter, name string, page models.Page) ([]models.Delivery, string, error) {
	if name == "" {
		return s.Deliveries(ctx, tenant, f, page)
	}
	return readPage(ctx, s, "delivery", func(ctx context.Context, store *models.Store) ([]models.Delivery, string, error) {
		return store.DeliveriesNamed(ctx, tenant, f, name, page)
	})
}

// EventOfDelivery returns the id of the event that a delivery is of.
func (s *Service) EventOfDelivery(ctx context.Context, tenant, id string) (string, error) {
	d, err := read(ctx, s, "delivery", func(ctx context.Context, store *models.Store) (models.Delivery, error) {
		return store.Delivery(ctx, tenant, id)
	})
	return d.EventID, err
}

// Delivery reads a delivery's timeline.
func (s *Service) Delivery(ctx context.Context, tenant, id string) (Timeline, error) {
	var t Timeline
	err := s.Store.Read(ctx, func(ctx context.Context, store *models.Store) error {
		for range 3 {
			d, err := store.Delivery(ctx, tenant, id)
			if errors.Is(err, models.ErrNotFound) {
				t, err = timelineOfTest(ctx, store, tenant, id)
				return err
			}
			if err != nil {
				return err
			}
			// An attempt recorded between the two reads would appear in the history of a delivery that does not count
			// it yet.
			if t, err = s.timeline(ctx, store, d); err != nil || len(t.History) <= d.Attempts {
				return err
			}
		}
		return nil
	})
	return t, known(err, "delivery")
}

// Tests lists a tenant's test POSTs as deliveries, and the attempt of each by its id; tenant "" = those of all tenants.
func (s *Service) Tests(ctx context.Context, tenant string, f models.DeliveryFilter, page models.Page) ([]models.Delivery, map[string]*models.Attempt, string, error) {
	rows, next, err := readPage(ctx, s, "delivery", func(ctx context.Context, store *models.Store) ([]models.TestPost, string, error) {
		return store.Tests(ctx, tenant, f, page)
	})
	deliveries, attempts := make([]models.Delivery, len(rows)), make(map[string]*models.Attempt, len(rows))
	for i := range rows {
		deliveries[i], attempts[rows[i].ID] = rows[i].Delivery(), &rows[i].Attempt
	}
	return deliveries, attempts, next, err
}

// timelineOfTest returns the timeline of a test POST: one attempt, and nothing planned.
func timelineOfTest(ctx context.Context, store *models.Store, tenant, id string) (Timeline, error) {
	test, err := store.Test(ctx, tenant, id)
	if err != nil {
		return Timeline{}, err
	}
	return Timeline{Delivery: test.Delivery(), History: []models.Attempt{test.Attempt}}, nil
}

func (s *Service) timeline(ctx context.Context, store *models.Store, d models.Delivery) (Timeline, error) {
	err := store.Effective(ctx, &d)
	t := Timeline{Delivery: d}
	if err != nil {
		return t, err
	}
	if t.History, err = store.Attempts(ctx, d.Tenant, d.ID); err != nil {
		return t, err
	}
	if err := rebuild(ctx, store, &d, t.History); err != nil {
		return t, err
	}
	if d.DispatchID != "" {
		t.WorkflowID = s.Engine.WorkflowID(d.DispatchID)
		t.UIURL = s.Engine.WorkflowURL(t.WorkflowID, d.FinishedAt)
	}
	if d.Status != models.Pending || d.NextAttemptAt == nil {
		return t, nil
	}
	if d.DispatchID != "" && s.Engine.Paused(ctx, d.DispatchID, d.WebhookID) {
		t.StatusReason = reasonPaused
	}
	r, err := s.Receiver(ctx, d.Tenant, d.WebhookID)
	if err != nil {
		return t, known(err, "webhook")
	}
	for i, at := range r.Policy.Upcoming(d.ID, d.Failures, *d.NextAttemptAt) {
		t.Upcoming = append(t.Upcoming, Planned{Number: d.Attempts + 1 + i, At: at})
	}
	return t, nil
}

// rebuild sets the request body of a delivery's attempts. The same event makes the same body on every attempt, so it
// is not stored with each. Attempts have none if the event has been erased, or if they were recorded before their URL
// was.
func rebuild(ctx context.Context, store *models.Store, d *models.Delivery, history []models.Attempt) error {
	if !slices.ContainsFunc(history, func(a models.Attempt) bool { return a.URL != "" }) {
		return nil
	}
	e, err := store.Event(ctx, d.Tenant, d.EventID)
	if errors.Is(err, models.ErrNotFound) || err == nil && e.ErasedAt != nil {
		return nil
	}
	if err != nil {
		return err
	}
	profile, err := store.Profile(ctx, d.WebhookID)
	if err != nil {
		return err
	}
	body, err := wire.Body(wire.Webhook{ID: d.WebhookID, Tenant: models.TenantSlug(d.Tenant), Profile: profile}, onWire(&e))
	if err != nil {
		return nil //nolint:nilerr // nothing was sent then
	}
	for i := range history {
		if history[i].URL != "" {
			history[i].RequestBody = body
		}
	}
	return nil
}

// RetryDelivery sends a delivery now: a pending one without waiting for its next attempt, a finished or held one
// from the first step of its schedule.
func (s *Service) RetryDelivery(ctx context.Context, tenant, id string) (Timeline, error) {
	d, err := s.wanted(ctx, tenant, id)
	if err != nil {
		return Timeline{}, err
	}
	e, err := s.Event(ctx, tenant, d.EventID)
	if err != nil {
		return Timeline{}, err
	}
	ctx = models.WithAuditAction(ctx, models.AuditDeliveryRetried)
	return s.changeDelivery(ctx, tenant, id, func(d *models.Delivery, webhook models.WebhookStatus, now time.Time) error {
		switch {
		case webhook == "":
			return Refuse(Conflict, "the webhook has been deleted")
		case webhook != models.WebhookActive:
			return Refuse(Conflict, "the webhook is %s; enable or resume it first", webhook)
		case e.ErasedAt != nil:
			return Refuse(Conflict, "the event's payload has been erased")
		}
		d.Ask()
		failures := d.Failures
		pending := d.Status == models.Pending
		if d.Release(now); pending {
			d.Failures = failures
		}
		return nil
	})
}

// wanted reads a delivery that is to be sent now. It is refused if its webhook is no longer registered for its event
// type: it would be canceled instead.
func (s *Service) wanted(ctx context.Context, tenant, id string) (models.Delivery, error) {
	d, err := s.Store.Delivery(ctx, tenant, id)
	if err != nil {
		return d, known(err, "delivery")
	}
	w, err := s.Store.Webhook(ctx, tenant, d.WebhookID)
	switch {
	case errors.Is(err, models.ErrNotFound): // deleted: changing the delivery reports it
		return d, nil
	case err == nil && !w.Wants(d.EventType):
		return d, Refuse(Conflict, "%s: %s", models.ReasonUnwanted, d.EventType)
	}
	return d, err
}

// CancelDelivery cancels a delivery that is pending or held.
func (s *Service) CancelDelivery(ctx context.Context, tenant, id, by string) (Timeline, error) {
	return s.changeDelivery(ctx, tenant, id, func(d *models.Delivery, _ models.WebhookStatus, now time.Time) error {
		if d.Status != models.Pending && d.Status != models.Held {
			return Refuse(Conflict, "the delivery is %s already", d.Status)
		}
		d.Cancel(now, "canceled by "+by)
		return nil
	})
}

// PauseDelivery holds a pending delivery until it is resumed.
func (s *Service) PauseDelivery(ctx context.Context, tenant, id string) (Timeline, error) {
	return s.changeDelivery(ctx, tenant, id, func(d *models.Delivery, webhook models.WebhookStatus, _ time.Time) error {
		if d.Status != models.Pending {
			return Refuse(Conflict, "the delivery is %s; only a pending one can be paused", d.Status)
		}
		if webhook != models.WebhookActive {
			return Refuse(Conflict, "the webhook is not active; nothing is sent to it")
		}
		d.Hold()
		return nil
	})
}

// ResumeDelivery sends a held delivery now.
func (s *Service) ResumeDelivery(ctx context.Context, tenant, id string) (Timeline, error) {
	if _, err := s.wanted(ctx, tenant, id); err != nil {
		return Timeline{}, err
	}
	return s.changeDelivery(ctx, tenant, id, func(d *models.Delivery, webhook models.WebhookStatus, now time.Time) error {
		switch {
		case d.Status != models.Held:
			return Refuse(Conflict, "the delivery is %s; only a held one can be resumed", d.Status)
		case webhook != models.WebhookActive:
			return Refuse(Conflict, "the webhook is %s; enable or resume it first", webhook)
		}
		d.Release(now)
		return nil
	})
}

func (s *Service) changeDelivery(ctx context.Context, tenant, id string, change func(*models.Delivery, models.WebhookStatus, time.Time) error) (Timeline, error) {
	now := s.Store.Now()
	d, dispatch, err := s.Store.ChangeDelivery(ctx, tenant, id, func(d *models.Delivery, w models.WebhookStatus) error { return change(d, w, now) })
	if err != nil {
		return Timeline{}, known(err, "delivery")
	}
	if dispatch != nil {
		s.Engine.Launch(*dispatch)
	}
	return s.timeline(ctx, s.Store, d)
}
