package service_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/models/modelstest"
)

// onBoth runs the body on SQLite and on PostgreSQL, with a Store of at most so many connections.
func onBoth(t *testing.T, connections int, body func(t *testing.T, env *servicetest.Env, store *models.Store)) {
	t.Helper()
	t.Parallel()
	for name, url := range map[string]func(testing.TB) string{
		"sqlite":   modelstest.SQLite,
		"postgres": modelstest.Postgres,
	} {
		t.Run(name, func(t *testing.T) {
			store, err := models.Open(t.Context(), url(t), models.Options{MaxConns: connections})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, store.Close()) })
			body(t, servicetest.New(t, func(_ *sender.Config, o *service.Options) { o.Store, o.Now = store, time.Now }), store)
		})
	}
}

// A24: no code takes a second connection inside a transaction. With only one connection, it would wait for itself.
func TestOneConnection_IsEnough(t *testing.T) {
	onBoth(t, 1, func(t *testing.T, env *servicetest.Env, store *models.Store) {
		const tenant = "acme"
		url, types := "https://shop.example/hooks", &[]string{"order.created", "order.*"}
		h := env.Service
		var w, gone models.Webhook
		var key models.APIKey
		var event string
		var delivery models.Delivery
		var recovery models.Recovery
		status := func(change func(context.Context, string, string, string) (models.Webhook, error)) func(context.Context) error {
			return func(ctx context.Context) error { _, err := change(ctx, tenant, w.ID, "test"); return err }
		}
		one := func(change func(context.Context, string, string) (service.Timeline, error)) func(context.Context) error {
			return func(ctx context.Context) error { _, err := change(ctx, tenant, delivery.ID); return err }
		}
		publish := func(ctx context.Context) error {
			published, err := h.Publish(ctx, tenant, service.PublishRequest{Key: models.NewID("k"), Events: []service.EventInput{{Type: "order.created", Data: []byte(`{}`)}}})
			if err != nil {
				return err
			}
			event = published[0].ID
			rows, _, err := store.Deliveries(ctx, tenant, models.DeliveryFilter{EventID: event, WebhookID: w.ID}, models.Page{Limit: 1})
			if err == nil && len(rows) == 1 {
				delivery = rows[0]
			}
			return err
		}
		record := func(status models.DeliveryStatus) func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := store.Record(ctx, []*models.Record{{Status: status, Generation: delivery.Generation, Attempt: models.Attempt{Tenant: tenant,
					ID: models.NewID(models.PrefixAttempt), DeliveryID: delivery.ID, WebhookID: w.ID, StartedAt: store.Now()}}}, nil)
				return err
			}
		}
		jobs := func(ctx context.Context) error {
			for {
				if job, _, err := store.RunJob(ctx); err != nil || job.ID == "" {
					return err
				}
			}
		}
		for _, step := range []struct {
			name string
			do   func(ctx context.Context) error
		}{
			{"put a tenant", func(ctx context.Context) error { _, _, err := h.PutTenant(ctx, models.Tenant{ID: tenant}); return err }},
			{"put it again", func(ctx context.Context) error {
				_, _, err := h.PutTenant(ctx, models.Tenant{ID: tenant, Name: "A"})
				return err
			}},
			{"put a type", func(ctx context.Context) error {
				_, err := h.PutEventType(ctx, models.EventType{Name: "order.created", Schema: "{}"})
				return err
			}},
			{"load a catalogue", func(ctx context.Context) error { _, err := h.LoadCatalog(ctx, tenant, "phrase"); return err }},
			{"create a key", func(ctx context.Context) (err error) {
				key, _, err = h.CreateKey(ctx, tenant, "ci", models.RolePublish)
				return err
			}},
			{"create", func(ctx context.Context) (err error) {
				w, _, err = h.CreateWebhook(ctx, tenant, service.WebhookChange{URL: &url, EventTypes: types})
				return err
			}},
			{"create the only one", func(ctx context.Context) (err error) {
				gone, _, err = h.CreateWebhook(ctx, tenant, service.WebhookChange{URL: &url, Only: true, Profile: "phrase"})
				return err
			}},
			{"update", func(ctx context.Context) error {
				_, err := h.UpdateWebhook(ctx, tenant, w.ID, service.WebhookChange{URL: &url, EventTypes: types, Active: new(true)})
				return err
			}},
			{"register with a catalogue", func(ctx context.Context) error {
				c := service.WebhookChange{EventTypes: &[]string{"JOB_CREATED"}, Profile: "phrase"}
				return h.WithCatalog(ctx, tenant, c, func() error {
					_, err := h.UpdateWebhook(ctx, tenant, gone.ID, c)
					return err
				})
			}},
			{"rotate", func(ctx context.Context) error {
				_, err := h.RotateSecret(ctx, tenant, w.ID, 0, "", "test")
				return err
			}},
			{"publish", publish},
			{"postpone", func(ctx context.Context) error {
				return store.Postpone(ctx, []models.Postponed{{Delivery: delivery, DispatchID: delivery.DispatchID, At: store.Now()}})
			}},
			{"set aside", func(ctx context.Context) error {
				_, err := store.SetAside(ctx, []models.Delivery{delivery})
				return err
			}},
			{"record a failure", record(models.Failed)},
			{"retry", one(h.RetryDelivery)},
			{"pause a delivery", one(h.PauseDelivery)},
			{"resume a delivery", one(h.ResumeDelivery)},
			{"cancel a delivery", func(ctx context.Context) error {
				_, err := h.CancelDelivery(ctx, tenant, delivery.ID, "test")
				return err
			}},
			{"pause", status(h.Pause)},
			{"publish what is held", publish},
			{"resume", status(h.Resume)},
			{"disable", func(ctx context.Context) error { _, err := h.Disable(ctx, tenant, w.ID, "", "test"); return err }},
			{"enable", status(h.Enable)},
			{"publish again", publish},
			{"judge", func(ctx context.Context) error { _, err := h.Judge(ctx, w.ID); return err }},
			{"lease", func(ctx context.Context) error {
				_, err := store.Lease(ctx, w.ID, "here", 1, 2, time.Minute)
				return err
			}},
			{"pace", func(ctx context.Context) error { _, err := store.TakePace(ctx, w.ID, 10); return err }},
			{"receive 410", func(ctx context.Context) error { return h.Gone(ctx, &w) }},
			{"enable after that", status(h.Enable)},
			{"recover", func(ctx context.Context) (err error) {
				recovery, err = h.Recover(ctx, tenant, w.ID, service.RecoveryRequest{})
				return err
			}},
			{"release a page", func(ctx context.Context) error { _, err := h.ReleasePage(ctx, recovery.ID); return err }},
			{"pages", jobs},
			{"fan out", func(ctx context.Context) error {
				h.Direct(2, 100)
				manyWebhooks(t, env, tenant, 2, "order.created")
				return publish(ctx)
			}},
			{"its pages", jobs},
			{"erase", func(ctx context.Context) error { return h.ErasePayload(ctx, tenant, event) }},
			{"keep settings", func(ctx context.Context) error { return h.KeepSystemSettings(ctx, tenant, "im4", map[string]string{}) }},
			{"retain", func(ctx context.Context) error { _, _, err := store.Expire(store.Now(), 10).Step(ctx); return err }},
			{"take over", func(ctx context.Context) error {
				page, err := store.Overdue(ctx, store.Now().Add(time.Hour), models.Mark{}, 100)
				if err != nil {
					return err
				}
				_, err = store.TakeOver(ctx, page.Deliveries, store.Now().Add(time.Hour), 100)
				return err
			}},
			{"claim shared dispatches", func(ctx context.Context) error { _, err := store.ClaimShared(ctx); return err }},
			{"sweep", func(ctx context.Context) error {
				_, _, err := store.SweepDispatches(ctx, "", store.Now(), 100)
				return err
			}},
			{"match", func(ctx context.Context) error {
				_, _, err := h.MatchEvent(ctx, tenant, service.EventInput{Type: "order.created", Data: []byte(`{}`)}, models.Page{Limit: 1})
				return err
			}},
			{"revoke", func(ctx context.Context) error { return h.RevokeKey(ctx, tenant, key.ID) }},
			{"delete a type", func(ctx context.Context) error { return h.DeleteEventType(ctx, "order.created") }},
			{"delete a webhook", func(ctx context.Context) error { _, err := h.DeleteWebhook(ctx, tenant, gone.ID); return err }},
			{"delete the tenant", func(ctx context.Context) error { return h.DeleteTenant(ctx, tenant) }},
			{"the last pages", jobs},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			require.NoError(t, step.do(ctx), step.name)
			cancel()
		}
	})
}

// slowNames is a check of URLs that waits until all callers have reached it.
type slowNames struct {
	service.URLChecker
	asked, answer chan struct{}
}

func (s *slowNames) CheckURL(ctx context.Context, raw string) (string, error) {
	select {
	case s.asked <- struct{}{}:
		<-s.answer
	case <-ctx.Done():
	}
	return s.URLChecker.CheckURL(ctx, raw)
}

// A24: fifty simultaneous updates of one webhook succeed. While an update waits for a resolver, no other call waits for
// it.
func TestOneConnection_UpdatesAtOnceHoldUpNobody(t *testing.T) {
	onBoth(t, 2, func(t *testing.T, env *servicetest.Env, _ *models.Store) {
		env.EventTypes("order.created")
		env.Tenant("acme")
		env.Tenant("neighbour")
		w := env.Webhook("acme", "https://shop.example/hooks")
		env.Webhook("neighbour", "https://neighbour.example/hooks")
		const updates = 50
		o := env.Service.Options
		names := &slowNames{o.Guard, make(chan struct{}), make(chan struct{})}
		o.Guard = names
		s := service.New(o)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		errs := make([]error, updates)
		var wg sync.WaitGroup
		for i := range updates {
			wg.Go(func() {
				_, errs[i] = s.UpdateWebhook(ctx, "acme", w.ID, service.WebhookChange{URL: new("https://shop.example/new"), EventTypes: &[]string{"order.created"}})
			})
		}
		for range updates {
			select {
			case <-names.asked: // all are waiting for the resolver
			case <-ctx.Done():
				t.Fatal("an update waits for another one")
			}
		}
		env.Publish("neighbour", "order.created", `{}`)
		close(names.answer)
		env.Publish("neighbour", "order.created", `{}`)
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
	})
}
