package models_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// subscriber registers a webhook for event types.
func (s *database) subscriber(tb testing.TB, tenant string, eventTypes ...string) models.Webhook {
	tb.Helper()
	w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: tenant, Profile: "standard", URL: "https://ops.example/hook",
		Status: models.WebhookActive, EventTypes: eventTypes}
	require.NoError(tb, s.CreateWebhook(tb.Context(), &w))
	return w
}

// announcement is what is read of an operational event.
type announcement struct {
	Type    string `json:"-"`
	Webhook struct {
		ID, UID, Tenant, URL, Status string
		TenantUID                    string `json:"tenant_uid"`
	}
	Delivery *struct {
		ID         string
		EventID    string `json:"event_id"`
		EventType  string `json:"event_type"`
		ExternalID string `json:"external_id"`
	}
	LastAttempt *struct {
		ID         string
		Number     int
		StatusCode *int `json:"status_code"`
		Error      *string
	} `json:"last_attempt"`
}

// announced does all jobs, and takes the operational events of a tenant, oldest first. Each has one delivery to each of the webhooks.
func (s *database) announced(tb testing.TB, tenant string, webhooks ...models.Webhook) (all []announcement) {
	tb.Helper()
	s.runJobs(tb)
	var rows []models.Event
	require.NoError(tb, s.DB().Raw("SELECT id, type, data FROM events WHERE tenant = ? AND type LIKE 'webhook.%' ORDER BY created_at, id", tenant).Scan(&rows).Error)
	var want []string
	for _, w := range webhooks {
		want = append(want, w.ID)
	}
	for _, e := range rows {
		d := announcement{Type: e.Type}
		require.NoError(tb, json.Unmarshal(e.Data, &d))
		all = append(all, d)
		var to []string
		require.NoError(tb, s.DB().Raw("SELECT webhook_id FROM deliveries WHERE tenant = ? AND event_id = ? ORDER BY webhook_id", tenant, e.ID).Scan(&to).Error)
		require.Equal(tb, want, to, e.Type)
	}
	for _, statement := range []string{"DELETE FROM deliveries WHERE event_type LIKE 'webhook.%'", "DELETE FROM events WHERE type LIKE 'webhook.%'"} {
		require.NoError(tb, s.DB().Exec(statement).Error)
	}
	return all
}

func types(all []announcement) (names []string) {
	for _, d := range all {
		names = append(names, d.Type)
	}
	return names
}

func (s *database) jobs(tb testing.TB, kind models.JobKind) int64 {
	tb.Helper()
	jobs, err := s.Jobs(tb.Context())
	require.NoError(tb, err)
	return jobs[kind]
}

// Changes of webhooks become operational events in their transactions, for the webhooks that are registered for them alone.
func TestOperationalEvents_ChangesOfWebhooksAreAnnounced(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx, acme, globex := t.Context(), s.Tenant(t, "acme"), s.Tenant(t, "globex")
		rename := func(w models.Webhook, name string) {
			_, err := s.UpdateWebhook(ctx, w.Tenant, w.ID, func(w *models.Webhook) error { w.Name = name; return nil })
			require.NoError(t, err)
		}
		status := func(w models.Webhook, c models.StatusChange) {
			_, _, err := s.SetWebhookStatus(ctx, w.Tenant, w.ID, c)
			require.NoError(t, err)
		}
		w, other := s.Webhook(t, acme), s.Webhook(t, globex)
		s.subscriber(t, globex, "webhook.*") // of another tenant
		s.runJobs(t)
		rename(w, "no webhook is registered for it")
		require.Zero(t, s.jobs(t, "announce"))

		all := s.Tenant(t, models.OperationalTenant)
		ops := s.subscriber(t, all, "webhook.*")
		s.subscriber(t, all, "webhook.deactivated", "order.*")
		rename(ops, "no event is about the operational tenant's own webhooks")
		require.Zero(t, s.jobs(t, "announce"))
		inAcme := s.subscriber(t, acme, "webhook.updated", "webhook.deleted")
		require.Equal(t, []string{"webhook.created"}, types(s.announced(t, all, ops)))

		rename(w, "first")
		rename(w, "first") // nothing changes
		_, err := s.UpdateWebhook(models.Unaudited(ctx), acme, w.ID, func(w *models.Webhook) error { w.Name = "by itself"; return nil })
		require.NoError(t, err)
		_, err = s.UpdateWebhook(models.WithAuditAction(ctx, models.AuditWebhookSecretRotated), acme, w.ID, func(w *models.Webhook) error {
			w.Secrets, w.URL, w.UID = []byte("new"), "https://u:p@example.com/hook?token=1", "mine"
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, int64(2), s.jobs(t, "announce"))
		got := s.announced(t, all, ops)
		require.Equal(t, []string{"webhook.updated", "webhook.updated"}, types(got))
		require.Equal(t, []string{w.ID, "mine", "acme", "https://example.com/hook", "active"},
			[]string{got[1].Webhook.ID, got[1].Webhook.UID, got[1].Webhook.Tenant, got[1].Webhook.URL, got[1].Webhook.Status})
		require.Nil(t, got[0].Delivery)
		require.Nil(t, got[0].LastAttempt)

		rename(other, "of another tenant") // which has its own
		rename(w, "second")
		require.Equal(t, []string{"webhook.updated"}, types(s.announced(t, acme, inAcme)))
		rename(w, "third")
		require.Empty(t, s.announced(t, globex), "another tenant's webhook")
		rename(inAcme, "a webhook gets no event about itself")
		require.Empty(t, s.announced(t, acme))

		status(w, models.StatusChange{To: models.WebhookPaused})
		status(w, models.StatusChange{To: models.WebhookActive, Reset: true})
		status(w, models.StatusChange{To: models.WebhookActive, Reset: true}) // it is active already
		status(w, models.StatusChange{To: models.WebhookDisabled})
		_, err = s.DeleteWebhook(ctx, acme, w.ID)
		require.NoError(t, err)
		require.Equal(t, []string{"webhook.updated", "webhook.enabled", "webhook.updated", "webhook.deleted"}, types(s.announced(t, all, ops)))

		err = s.Tx(ctx, func(tx *models.Store) error {
			_, err := tx.UpdateWebhook(ctx, globex, other.ID, func(w *models.Webhook) error { w.Name = "undone"; return nil })
			require.NoError(t, err)
			return context.Canceled
		})
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, s.announced(t, all), "the change was rolled back")
		rename(other, "last")
		require.NoError(t, s.DeleteTenant(ctx, globex))
		require.Empty(t, s.announced(t, all), "the tenant was deleted")
	})
}

// Deliveries that fail become operational events: at most one of each kind for a webhook in a minute.
func TestOperationalEvents_FailingDeliveriesAreAnnounced(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		acme, all := s.Tenant(t, "acme"), s.Tenant(t, models.OperationalTenant)
		w, well := s.Webhook(t, acme), s.Webhook(t, acme)
		attempt := func(d models.Delivery, statuses ...models.DeliveryStatus) {
			for _, status := range statuses {
				s.MustRecord(t, s.Attempted(d, status))
			}
		}
		four := []models.DeliveryStatus{models.Pending, models.Pending, models.Pending, models.Pending}
		publish := func(n int, w models.Webhook) (deliveries []models.Delivery) {
			for range n {
				deliveries = append(deliveries, s.Publish(t, acme, w)...)
			}
			return deliveries
		}
		d := publish(1, w)[0]
		attempt(d, four...)
		attempt(d, models.Failed)
		attempt(publish(1, w)[0], models.Delivered)
		require.Zero(t, s.jobs(t, "announce"), "no webhook is registered for it")
		var rows int64
		require.NoError(t, s.DB().Raw("SELECT count(*) FROM webhook_health WHERE troubled OR failing_announced_us + failed_announced_us > 0").Scan(&rows).Error)
		require.Zero(t, rows)

		ops := s.subscriber(t, all, "webhook.*")
		d = publish(1, w)[0]
		attempt(d, four[:3]...)
		require.Zero(t, s.jobs(t, "announce"), "three attempts are not enough")
		attempt(d, models.Pending, models.Pending)
		got := s.announced(t, all, ops)
		require.Equal(t, []string{"webhook.delivery.failing"}, types(got))
		require.Equal(t, []any{w.ID, d.ID, d.EventID, "order.created", 4, 500, "the receiver answered 500"},
			[]any{got[0].Webhook.ID, got[0].Delivery.ID, got[0].Delivery.EventID, got[0].Delivery.EventType, got[0].LastAttempt.Number,
				*got[0].LastAttempt.StatusCode, *got[0].LastAttempt.Error})
		attempt(d, models.Failed)
		require.Equal(t, []string{"webhook.delivery.failed"}, types(s.announced(t, all, ops)))

		// A webhook that is dead: thousands of deliveries fail, in large groups.
		s.Clock.Advance(time.Minute)
		var group []*models.Record
		for _, d := range publish(200, w) {
			group = append(group, s.Attempted(d, models.Failed))
		}
		s.MustRecord(t, group...)
		for _, d := range publish(50, w) {
			attempt(d, models.Failed)
		}
		require.Equal(t, int64(1), s.jobs(t, "announce"))
		require.Equal(t, []string{"webhook.delivery.failed"}, types(s.announced(t, all, ops)))
		attempt(publish(1, well)[0], models.Delivered)
		require.Empty(t, s.announced(t, all), "another webhook received")
		attempt(publish(1, w)[0], models.Delivered)
		attempt(publish(1, w)[0], models.Delivered)
		got = s.announced(t, all, ops)
		require.Equal(t, []string{"webhook.delivery.recovered"}, types(got), "once")
		require.Nil(t, got[0].LastAttempt.Error)
		s.Clock.Advance(time.Minute)
		attempt(publish(1, w)[0], models.Failed)
		require.Equal(t, []string{"webhook.delivery.failed"}, types(s.announced(t, all, ops)), "the next minute")

		// One group may end the trouble, and begin another.
		s.Clock.Advance(time.Minute)
		deliveries := publish(3, w)
		s.MustRecord(t, s.Attempted(deliveries[0], models.Delivered), s.Attempted(deliveries[1], models.Failed), s.Attempted(deliveries[2], models.Delivered))
		require.ElementsMatch(t, []string{"webhook.delivery.recovered", "webhook.delivery.failed", "webhook.delivery.recovered"}, types(s.announced(t, all, ops)))

		// An operational event that is not received is no reason for another: it would be one for the next.
		s.Clock.Advance(time.Minute)
		d = publish(1, w)[0]
		require.NoError(t, s.DB().Exec("UPDATE deliveries SET event_type = 'webhook.updated' WHERE tenant = ? AND id = ?", acme, d.ID).Error)
		attempt(d, models.Failed)
		require.Zero(t, s.jobs(t, "announce"))

		// The trouble ends although no webhook is registered any longer.
		attempt(publish(1, w)[0], models.Failed)
		s.runJobs(t)
		_, err := s.DeleteWebhook(t.Context(), all, ops.ID)
		require.NoError(t, err)
		attempt(publish(1, w)[0], models.Delivered)
		require.Zero(t, s.jobs(t, "announce"))
		require.NoError(t, s.DB().Raw("SELECT count(*) FROM webhook_health WHERE troubled").Scan(&rows).Error)
		require.Zero(t, rows)
	})
}

// Many webhooks of other kinds do not make it more expensive to find those that are registered for operational events.
func TestOperationalEvents_SubscribersOfOperationalEventsAreFoundByAnIndexOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	acme := s.Tenant(t, "acme")
	s.Tenant(t, models.OperationalTenant)
	s.crowdOfWebhooks(t, acme, 0, 3000)
	w := s.subscriber(t, acme, "webhook.warning")
	s.patiently(t, nil, "VACUUM ANALYZE")
	r := s.countingOf(t, func(ctx context.Context, tx *models.Store) error {
		_, err := tx.UpdateWebhook(ctx, acme, w.ID, func(w *models.Webhook) error { w.Name = "new"; return nil })
		return err
	}, "webhooks")
	require.Zero(t, r.Scans)
	require.LessOrEqual(t, r.Rows, int64(10))
}
