package models_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// answered returns a delivery of an event with attributes and an answer of the receiver.
func (s *database) answered(tb testing.TB, w models.Webhook, eventType, customer string, status models.DeliveryStatus) models.Delivery {
	tb.Helper()
	a := s.Acceptance(tb, w.Tenant, w)
	a.Events[0].Type, a.Deliveries[0].EventType = eventType, eventType
	a.Events[0].Attributes = map[string]string{"customer": customer}
	s.mustAccept(tb, a)
	r := s.Attempted(a.Deliveries[0], status)
	r.Attempt.ResponseBody, r.Attempt.ResponseHeaders = []byte("the answer"), map[string]string{"X-About": customer}
	s.MustRecord(tb, r)
	return s.Reload(tb, a.Deliveries[0])
}

func TestErasure_TakesWhatItIsFor(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx := t.Context()
		w := s.Webhook(t, s.Tenant(t, "acme"))
		other := s.Webhook(t, s.Tenant(t, "globex"))
		theirs := s.answered(t, other, "order.created", "4711", models.Delivered)
		delivered := s.answered(t, w, "order.created", "4711", models.Delivered)
		failed := s.answered(t, w, "order.paid", "4711", models.Failed)
		pending := s.answered(t, w, "order.created", "4711", models.Pending)
		otherType := s.answered(t, w, "user.created", "4711", models.Delivered)
		otherCustomer := s.answered(t, w, "order.created", "4712", models.Delivered)
		s.Clock.Advance(time.Hour)
		until := s.Now()
		late := s.answered(t, w, "order.created", "4711", models.Delivered)
		s.Clock.Advance(time.Second)

		x := models.Erasure{Tenant: "acme", Until: until, EventTypes: []string{"order.*"}, Attribute: "customer:4711"}
		n, complete, err := s.CountErasure(ctx, &x, 1000)
		require.NoError(t, err)
		require.True(t, complete)
		require.Equal(t, int64(3), n)
		n, complete, err = s.CountErasure(ctx, &x, 2)
		require.NoError(t, err)
		require.False(t, complete)
		require.LessOrEqual(t, n, int64(2))
		customer := models.EventFilter{Attribute: &models.Attribute{Name: "customer", Value: "4711"}}
		require.Len(t, s.found(t, "acme", customer), 5)
		require.NoError(t, s.CreateErasure(ctx, &x))
		s.runJobs(t)
		receipt, err := s.Erasure(ctx, "acme", x.ID)
		require.NoError(t, err)
		require.Equal(t, models.ErasureDone, receipt.Status)
		require.Equal(t, int64(3), receipt.Erased)
		require.NotNil(t, receipt.FinishedAt)
		require.Equal(t, []string{late.EventID, otherType.EventID}, s.found(t, "acme", customer), "not by what was erased")
		require.Len(t, s.found(t, "globex", customer), 1)

		for _, d := range []models.Delivery{delivered, failed, pending} {
			e, err := s.Event(ctx, "acme", d.EventID)
			require.NoError(t, err)
			require.Nil(t, e.Data)
			require.Empty(t, e.Attributes)
			require.NotNil(t, e.ErasedAt)
			attempts, err := s.Attempts(ctx, "acme", d.ID)
			require.NoError(t, err)
			require.Len(t, attempts, 1)
			require.Empty(t, attempts[0].ResponseBody)
			require.Empty(t, attempts[0].ResponseHeaders)
		}
		for _, d := range []models.Delivery{theirs, otherType, otherCustomer, late} {
			e, err := s.Event(ctx, d.Tenant, d.EventID)
			require.NoError(t, err)
			require.NotNil(t, e.Data)
			attempts, err := s.Attempts(ctx, d.Tenant, d.ID)
			require.NoError(t, err)
			require.Equal(t, "the answer", string(attempts[0].ResponseBody))
			require.Equal(t, d, s.Reload(t, d))
		}
		require.Equal(t, models.Delivered, s.Reload(t, delivered).Status)
		require.Equal(t, models.Failed, s.Reload(t, failed).Status)
		require.Equal(t, models.ReasonErased, s.Reload(t, failed).StatusReason)
		canceled := s.Reload(t, pending)
		require.Equal(t, models.Canceled, canceled.Status)
		require.Equal(t, models.ReasonErased, canceled.StatusReason)
		require.Equal(t, pending.Generation+1, canceled.Generation)
		require.NotNil(t, canceled.FinishedAt)

		again := models.Erasure{Tenant: "acme", Until: until, EventTypes: []string{"order.*"}}
		require.NoError(t, s.CreateErasure(ctx, &again))
		s.runJobs(t)
		receipt, err = s.Erasure(ctx, "acme", again.ID)
		require.NoError(t, err)
		require.Equal(t, int64(1), receipt.Erased, "the other customer's: what was erased before is not counted")
	})
}

// An erasure goes in pages, each of which another process may make. None is larger for an event that went to many webhooks.
func TestErasure_GoesInPages(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx := t.Context()
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.backlog(t, w, 2300, "evt_wide")
		s.backlog(t, w, 700, "")
		s.Clock.Advance(time.Second)
		x := models.Erasure{Tenant: "acme"}
		require.NoError(t, s.CreateErasure(ctx, &x))
		receipt, err := s.Erasure(ctx, "acme", x.ID)
		require.NoError(t, err)
		require.Equal(t, models.ErasureRunning, receipt.Status)
		for range 100 {
			job, page, err := s.Open(t).RunJob(ctx)
			require.NoError(t, err)
			require.LessOrEqual(t, page.Rows, int64(1001))
			if job.ID == "" {
				break
			}
			s.Clock.Advance(time.Second)
		}
		receipt, err = s.Erasure(ctx, "acme", x.ID)
		require.NoError(t, err)
		require.Equal(t, models.ErasureDone, receipt.Status)
		require.Equal(t, int64(701), receipt.Erased)
		var left int64
		require.NoError(t, s.DB().Raw("SELECT count(*) FROM deliveries WHERE status <> 'canceled' OR status_reason <> ?", models.ReasonErased).Scan(&left).Error)
		require.Zero(t, left)
		require.NoError(t, s.DB().Raw("SELECT count(*) FROM events WHERE erased_at IS NULL").Scan(&left).Error)
		require.Zero(t, left)
	})
}

func TestErasure_APageOfAnErasureUsesIndexesOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.crowd(t)[7]
	x := models.Erasure{Tenant: w.Tenant, Attribute: "customer:nobody"}
	require.NoError(t, s.CreateErasure(t.Context(), &x))
	require.NoError(t, s.DB().Exec("UPDATE erasures SET attribute = '', status = 'running'").Error)
	require.NoError(t, s.DB().Exec("UPDATE jobs SET position = '', due_at = created_at").Error)
	got := s.counting(t, func(ctx context.Context, tx *models.Store) error {
		job, page, err := tx.RunJob(ctx)
		require.Equal(t, "erase-many", fmt.Sprint(job.Kind))
		require.Positive(t, page.Rows)
		return err
	})
	require.Zero(t, got.Scans, "read from end to end")
	require.LessOrEqual(t, got.Rows, int64(2000+8*1000))
}

// The answers to the attempts of one erased event go, too.
func TestErasure_ErasingAnEventBlanksItsAnswers(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		d, kept := s.answered(t, w, "order.created", "4711", models.Delivered), s.answered(t, w, "order.created", "4711", models.Delivered)
		require.NoError(t, s.EraseEvent(t.Context(), "acme", d.EventID))
		for _, tt := range []struct {
			of   models.Delivery
			want string
		}{{d, ""}, {kept, "the answer"}} {
			attempts, err := s.Attempts(t.Context(), "acme", tt.of.ID)
			require.NoError(t, err)
			require.Equal(t, tt.want, string(attempts[0].ResponseBody))
			require.Equal(t, 200, attempts[0].StatusCode)
		}
		require.Zero(t, s.Count(t, "jobs"))
	})
}

// The lists over all tenants have the rows of every tenant except deleted ones, in pages.
func TestErasure_ListsOverAllTenants(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx := t.Context()
		var hooks, deliveries, recoveries []string
		for _, slug := range []string{"acme", "globex", "gone"} {
			tenant := s.Tenant(t, slug)
			for range 3 {
				s.Clock.Advance(time.Second)
				w := s.Webhook(t, tenant)
				d := s.Publish(t, tenant, w)[0]
				r := models.Recovery{Tenant: tenant, WebhookID: w.ID, Statuses: heldAndFailed}
				require.NoError(t, s.CreateRecovery(ctx, &r))
				if slug != "gone" {
					hooks, deliveries, recoveries = append(hooks, w.ID), append([]string{d.ID}, deliveries...), append([]string{r.ID}, recoveries...)
				}
			}
		}
		require.NoError(t, s.DeleteTenant(ctx, "gone"))
		pages := func(read func(models.Page) ([]string, string, error)) (all []string) {
			t.Helper()
			for p := (models.Page{Limit: 2}); ; {
				ids, next, err := read(p)
				require.NoError(t, err)
				all = append(all, ids...)
				if p.After = next; next == "" {
					return all
				}
			}
		}
		require.Equal(t, hooks, pages(func(p models.Page) (ids []string, next string, err error) {
			rows, next, err := s.Webhooks(ctx, "", models.WebhookFilter{EventType: "order.created"}, p)
			for _, w := range rows {
				ids = append(ids, w.ID)
			}
			return ids, next, err
		}))
		require.Equal(t, deliveries, pages(func(p models.Page) (ids []string, next string, err error) {
			rows, next, err := s.Deliveries(ctx, "", models.DeliveryFilter{Status: models.Pending}, p)
			for _, d := range rows {
				ids = append(ids, d.ID)
			}
			return ids, next, err
		}))
		require.Equal(t, recoveries, pages(func(p models.Page) (ids []string, next string, err error) {
			rows, next, err := s.Recoveries(ctx, "", models.RecoveryFilter{}, p)
			for _, r := range rows {
				ids = append(ids, r.ID)
			}
			return ids, next, err
		}))
	})
}

func TestErasure_ListsOfRecoveriesUseIndexesOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	webhooks := s.crowd(t)
	for _, w := range webhooks {
		s.patiently(t, map[string]any{"tenant": w.Tenant, "webhook": w.ID}, `INSERT INTO recoveries (id, tenant, webhook_id, status, statuses, reason, until, rate, sweep, position, total, released, created_at)
			SELECT 'rec_' || lpad(to_hex(n), 8, '0') || right(CAST(@webhook AS text), 12), @tenant, @webhook, 'completed', '[]', '', now(), 0, false, '', 0, 0, now() FROM generate_series(1, 300) n`)
	}
	s.patiently(t, nil, "VACUUM ANALYZE")
	w := webhooks[3]
	for name, read := range map[string]func(ctx context.Context, tx *models.Store) ([]models.Recovery, string, error){
		"of all tenants": func(ctx context.Context, tx *models.Store) ([]models.Recovery, string, error) {
			return tx.Recoveries(ctx, "", models.RecoveryFilter{}, models.Page{Limit: 50})
		},
		"of a tenant": func(ctx context.Context, tx *models.Store) ([]models.Recovery, string, error) {
			return tx.Recoveries(ctx, w.Tenant, models.RecoveryFilter{}, models.Page{Limit: 50})
		},
		"of a webhook": func(ctx context.Context, tx *models.Store) ([]models.Recovery, string, error) {
			return tx.Recoveries(ctx, w.Tenant, models.RecoveryFilter{WebhookID: w.ID}, models.Page{Limit: 50})
		},
	} {
		got := s.countingOf(t, func(ctx context.Context, tx *models.Store) error {
			rows, next, err := read(ctx, tx)
			require.Len(t, rows, 50)
			require.NotEmpty(t, next)
			return err
		}, "recoveries")
		require.Zero(t, got.Scans, name)
		require.LessOrEqual(t, got.Rows, int64(60), name)
	}
}

// The answer to a POST that was in flight while its event was erased is not stored.
func TestErasure_ReachesWhatIsInFlight(t *testing.T) {
	erase := map[string]func(ctx context.Context, s *database, d models.Delivery) error{
		"one event": func(ctx context.Context, s *database, d models.Delivery) error {
			return s.EraseEvent(ctx, d.Tenant, d.EventID)
		},
		"many": func(ctx context.Context, s *database, d models.Delivery) error {
			return s.CreateErasure(ctx, &models.Erasure{Tenant: d.Tenant, EventTypes: []string{"*"}})
		},
	}
	for name, erase := range erase {
		t.Run(name, func(t *testing.T) {
			stores(t, func(t *testing.T, s *database) {
				w := s.Webhook(t, s.Tenant(t, "acme"))
				for _, status := range []models.DeliveryStatus{models.Delivered, models.Pending, models.Failed} {
					d, other := s.Publish(t, w.Tenant, w)[0], s.Publish(t, w.Tenant, w)[0]
					inFlight, beside := s.Attempted(d, status), s.Attempted(other, status)
					for _, r := range []*models.Record{inFlight, beside} {
						r.Attempt.ResponseBody, r.Attempt.ResponseHeaders = []byte("about somebody"), map[string]string{"X-About": "somebody"}
						r.Attempt.Detail = models.AttemptDetail{Repeated: map[string][]string{"X-About": {"somebody"}}}
					}
					_, _, err := s.ChangeDelivery(t.Context(), other.Tenant, other.ID, func(d *models.Delivery, _ models.WebhookStatus) error {
						d.Hold()
						return nil
					})
					require.NoError(t, err)
					s.MustRecord(t, beside)
					require.NoError(t, erase(t.Context(), s, d))
					s.runJobs(t)
					s.MustRecord(t, inFlight)
					attempts, err := s.Attempts(t.Context(), d.Tenant, d.ID)
					require.NoError(t, err)
					require.Len(t, attempts, 1)
					require.Equal(t, inFlight.Attempt.StatusCode, attempts[0].StatusCode)
					require.Empty(t, attempts[0].ResponseBody)
					require.Empty(t, attempts[0].ResponseHeaders)
					require.Zero(t, attempts[0].Detail)
					if name == "many" {
						continue
					}
					attempts, err = s.Attempts(t.Context(), other.Tenant, other.ID)
					require.NoError(t, err)
					require.Equal(t, "about somebody", string(attempts[0].ResponseBody), "another event's")
				}
			})
		})
	}
}
