package models_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// fanOut accepts an event for n webhooks as one fan-out. It returns the event's id and the webhooks' ids.
func (s *database) fanOut(t *testing.T, tenant string, n int) (eventID string, webhooks []string) {
	t.Helper()
	s.crowdOfWebhooks(t, tenant, 0, n)
	all, version, err := s.AllWebhooks(t.Context(), tenant)
	require.NoError(t, err)
	for _, w := range all {
		webhooks = append(webhooks, w.ID)
	}
	members, err := models.Members(webhooks)
	require.NoError(t, err)
	eventID = models.NewID(models.PrefixEvent)
	s.mustAccept(t, &models.Acceptance{Tenant: tenant, Version: version,
		Events:  []models.Event{{Tenant: tenant, ID: eventID, Type: "order.created", Data: []byte(`{}`), CreatedAt: s.Now()}},
		FanOuts: []models.FanOut{{EventID: eventID, Members: members}}})
	return eventID, webhooks
}

// owed reads the deliveries of an event by webhook, each of which must have one at most.
func (s *database) owed(t *testing.T, tenant, eventID string) map[string]models.Delivery {
	t.Helper()
	rows, _, err := s.Deliveries(t.Context(), tenant, models.DeliveryFilter{EventID: eventID}, models.Page{Limit: 100_000})
	require.NoError(t, err)
	owed := map[string]models.Delivery{}
	for _, d := range rows {
		require.NotContains(t, owed, d.WebhookID, "one delivery each")
		owed[d.WebhookID] = d
	}
	return owed
}

func (s *database) fanningOut(t *testing.T, tenant, eventID string) bool {
	t.Helper()
	var open bool
	require.NoError(t, s.DB().Raw("SELECT EXISTS (SELECT 1 FROM jobs WHERE kind = 'fanout' AND tenant = ? AND event_id = ?)", tenant, eventID).Scan(&open).Error)
	if event, err := s.Event(t.Context(), tenant, eventID); !errors.Is(err, models.ErrNotFound) {
		require.NoError(t, err)
		require.Equal(t, open, event.FanningOut, "what the event says")
	}
	rows, _, err := s.Events(t.Context(), tenant, models.EventFilter{}, models.Page{Limit: 10})
	require.NoError(t, err)
	for _, e := range rows {
		require.Equal(t, open && e.ID == eventID, e.FanningOut, "what a list says of %s", e.ID)
	}
	return open
}

// An event with many webhooks is accepted as one row. The deliveries follow in pages, one for each webhook that matched
// at that time, whatever happened to it later. A page that is killed half-way changes nothing.
func TestFanOut_FollowsInPages(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx := t.Context()
		tenant := s.Tenant(t, "acme")
		const n = 2*1000 + 300
		id, webhooks := s.fanOut(t, tenant, n)
		require.Equal(t, 1, s.Count(t, "jobs"))
		require.Zero(t, s.Count(t, "deliveries"))
		require.True(t, s.fanningOut(t, tenant, id))

		late := s.Webhook(t, tenant)
		paused, deleted, renamed := webhooks[1500], webhooks[2200], webhooks[2299]
		pages := 0
		for ; s.fanningOut(t, tenant, id); pages++ {
			killed := errors.New("killed")
			before := s.Count(t, "deliveries")
			require.ErrorIs(t, s.Tx(ctx, func(tx *models.Store) error {
				_, page, err := tx.RunJob(ctx)
				require.NoError(t, err)
				require.NotZero(t, page.Rows)
				return killed
			}), killed)
			require.Equal(t, before, s.Count(t, "deliveries"))

			job, page, err := s.RunJob(ctx)
			require.NoError(t, err)
			require.Equal(t, id, job.EventID)
			require.LessOrEqual(t, page.Rows, int64(1000))
			s.requireFresh(t, page.Fresh)
			if pages == 0 {
				_, _, err = s.SetWebhookStatus(ctx, tenant, paused, models.StatusChange{To: models.WebhookPaused})
				require.NoError(t, err)
				_, err = s.DeleteWebhook(ctx, tenant, deleted)
				require.NoError(t, err)
				_, err = s.UpdateWebhook(ctx, tenant, renamed, func(w *models.Webhook) error { w.EventTypes = []string{"other"}; return nil })
				require.NoError(t, err)
			}
		}
		require.Equal(t, 3, pages)

		owed := s.owed(t, tenant, id)
		require.Len(t, owed, n)
		require.NotContains(t, owed, late.ID)
		for _, w := range webhooks {
			d := owed[w]
			switch w {
			case paused:
				require.Equal(t, models.Held, d.Status)
				require.Equal(t, "webhook paused", d.StatusReason)
				require.Nil(t, d.NextAttemptAt)
			case deleted:
				require.Equal(t, models.Canceled, d.Status)
				require.Equal(t, "webhook deleted", d.StatusReason)
				require.NotNil(t, d.FinishedAt)
			default:
				require.Equal(t, models.Pending, d.Status, w)
				require.NotEmpty(t, d.DispatchID)
				require.NotNil(t, d.NextAttemptAt)
			}
		}
	})
}

// requireFresh checks that dispatches are stored, claimed and noted on their deliveries.
func (s *database) requireFresh(t *testing.T, fresh []models.Dispatch) {
	t.Helper()
	require.NotEmpty(t, fresh)
	for _, p := range fresh {
		require.LessOrEqual(t, len(p.Deliveries), models.MaxDispatch)
		stored, err := s.Dispatch(t.Context(), p.ID)
		require.NoError(t, err)
		require.True(t, stored.Claimed)
		require.Equal(t, p.Deliveries, stored.Deliveries)
		rows, err := s.DeliveriesByID(t.Context(), p.Deliveries)
		require.NoError(t, err)
		require.Len(t, rows, len(p.Deliveries))
		for _, d := range rows {
			require.Equal(t, p.ID, d.DispatchID)
		}
	}
}

// A page costs the same at every position in the list, and reads only its own part.
func TestFanOut_APageOfAFanOutDoesNotGrowWithTheList(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.fanOut(t, s.Tenant(t, "acme"), 3*1000)
		var first []string
		for page := range 3 {
			var sent []string
			store := s.Open(t)
			store.Watch(func(statement string, parameters int) {
				require.NotContains(t, statement, "SELECT * FROM \"jobs\"")
				require.NotContains(t, statement, "`jobs`.`members`")
				kind, _, _ := strings.Cut(statement, "(")
				sent = append(sent, fmt.Sprint(kind, parameters))
			})
			_, made, err := store.RunJob(t.Context())
			require.NoError(t, err)
			require.Equal(t, int64(1000), made.Rows)
			if page == 0 {
				first = sent
			}
			require.Len(t, sent, len(first))
			if s.IsPostgres() && page == 1 {
				require.Equal(t, first, sent)
			}
		}
	})
}

func TestFanOut_EndsWithItsEvent(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		for i, end := range []func(tenant, id string) error{
			func(tenant, id string) error { return s.EraseEvent(t.Context(), tenant, id) },
			func(tenant, _ string) error { return s.DeleteTenant(t.Context(), tenant) },
		} {
			tenant := s.Tenant(t, fmt.Sprintf("tenant-%d", i))
			id, _ := s.fanOutOf(t, tenant, 1100)
			_, page, err := s.RunJob(t.Context())
			require.NoError(t, err)
			require.Equal(t, int64(1000), page.Rows)
			require.NoError(t, end(tenant, id))
			for range 20 {
				_, page, err := s.RunJob(t.Context())
				require.NoError(t, err)
				require.Empty(t, page.Fresh)
				s.Clock.Advance(time.Second)
			}
			require.False(t, s.fanningOut(t, tenant, id))
			for _, d := range s.owed(t, tenant, id) {
				require.Equal(t, models.Canceled, d.Status)
			}
		}
	})
}

// fanOutOf is fanOut without webhooks: only with members, which may be gone.
func (s *database) fanOutOf(t *testing.T, tenant string, n int) (string, []string) {
	t.Helper()
	require.NoError(t, s.DB().Exec("DELETE FROM webhooks WHERE id LIKE 'wh_00000000%'").Error)
	return s.fanOut(t, tenant, n)
}

// A page that comes while a webhook's status changes waits for it, and goes by what it has become; what comes of a page is
// found by the next change. So nothing pending is left at a webhook that is paused, and nothing held at one that is active.
func TestFanOut_GoesByTheStatusThatIsCommittedOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	ctx := t.Context()
	tenant := s.Tenant(t, "acme")
	id, webhooks := s.fanOut(t, tenant, 3)
	other := s.Open(t)
	pausing, paused := make(chan struct{}), make(chan error, 1)
	go func() {
		paused <- other.Tx(context.WithoutCancel(ctx), func(tx *models.Store) error {
			_, _, err := tx.SetWebhookStatus(context.WithoutCancel(ctx), tenant, webhooks[1], models.StatusChange{To: models.WebhookPaused})
			pausing <- struct{}{}
			<-pausing
			return err
		})
	}()
	<-pausing
	_, _, err := s.RunJob(ctx)
	require.True(t, models.IsLocked(err), "%v", err)
	require.Zero(t, s.Count(t, "deliveries"))
	pausing <- struct{}{}
	require.NoError(t, <-paused)

	s.Clock.Advance(time.Minute)
	for s.fanningOut(t, tenant, id) {
		_, _, err = s.RunJob(ctx)
		require.NoError(t, err)
	}
	owed := s.owed(t, tenant, id)
	require.Equal(t, models.Pending, owed[webhooks[0]].Status)
	require.Equal(t, models.Held, owed[webhooks[1]].Status)
}

// A15: an event accepted while its webhook is being enabled is not held on an active webhook.
func TestFanOut_AnAcceptanceWithHeldDeliveriesKeepsTheStatusOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	ctx := t.Context()
	tenant := s.Tenant(t, "acme")
	w := s.Webhook(t, tenant)
	_, _, err := s.SetWebhookStatus(ctx, tenant, w.ID, models.StatusChange{To: models.WebhookDisabled})
	require.NoError(t, err)
	held := func() *models.Acceptance {
		a := s.Acceptance(t, tenant, w)
		a.Dispatches = nil
		d := &a.Deliveries[0]
		d.Status, d.StatusReason, d.NextAttemptAt, d.DispatchID = models.Held, "webhook disabled", nil, ""
		return a
	}

	// The event comes first: the webhook cannot be enabled before it is stored.
	other := s.Open(t)
	stop := errors.New("enough")
	require.ErrorIs(t, s.Tx(ctx, func(tx *models.Store) error {
		results, err := tx.Accept(ctx, []*models.Acceptance{held()})
		require.NoError(t, err)
		require.NoError(t, results[0].Err)
		err = other.DB().WithContext(ctx).Exec("SELECT 1 FROM tenants WHERE id = ? FOR NO KEY UPDATE NOWAIT", tenant).Error
		require.True(t, models.IsLocked(err), "%v", err)
		return stop
	}), stop)

	// The event comes while the webhook is being enabled: it is matched again, and does not wait.
	a, neighbour := held(), s.Tenant(t, "neighbour")
	require.ErrorIs(t, other.Tx(ctx, func(tx *models.Store) error {
		_, _, err := tx.SetWebhookStatus(ctx, tenant, w.ID, models.StatusChange{To: models.WebhookActive, Reset: true})
		require.NoError(t, err)
		errs := s.acceptErrors(t, a, s.Acceptance(t, neighbour, s.Webhook(t, neighbour)))
		require.ErrorIs(t, errs[0], models.ErrStale)
		require.NoError(t, errs[1])
		return stop
	}), stop)
	s.requireStored(t, a, false)
	require.NoError(t, s.acceptErrors(t, a)[0], "it was not enabled in the end")
	s.requireStored(t, a, true)
}

// A22: the weight of an acceptance in a commit is the size of its rows.
func TestFanOut_RowsOfAnAcceptance(t *testing.T) {
	t.Parallel()
	a := models.Acceptance{Events: make([]models.Event, 3), Deliveries: make([]models.Delivery, 5)}
	require.Equal(t, 8, a.Rows())
	a.FanOuts = []models.FanOut{{Members: make([]byte, 16*50_000)}}
	require.Equal(t, 8+1+500, a.Rows())
}
