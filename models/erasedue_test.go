package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// eraseDue makes all pages and gives how many events each erased.
func (s *database) eraseDue(tb testing.TB) (pages []int) {
	tb.Helper()
	for {
		n, more, err := s.EraseDue(tb.Context())
		require.NoError(tb, err)
		if pages = append(pages, n); !more {
			return pages
		}
	}
}

// Data whose time has come goes, with all that an erasure takes, and no other data does.
func TestEraseDue_DataIsErasedWhenItsTimeHasCome(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx := t.Context()
		w := s.Webhook(t, s.Tenant(t, "acme"))
		publish := func(keep time.Duration) models.Delivery {
			a := s.Acceptance(t, "acme", w)
			a.Events[0].Attributes = map[string]string{"customer": "4711"}
			if keep > 0 {
				a.Events[0].DataUntil = new(s.Now().Add(keep))
			}
			s.mustAccept(t, a)
			return a.Deliveries[0]
		}
		kept, pending, delivered, later := publish(0), publish(time.Hour), publish(time.Hour), publish(2*time.Hour)
		r := s.Attempted(delivered, models.Delivered)
		r.Attempt.ResponseBody = []byte("the answer")
		s.MustRecord(t, r)
		require.Equal(t, []int{0}, s.eraseDue(t))
		e, err := s.Event(ctx, "acme", pending.EventID)
		require.NoError(t, err)
		require.Equal(t, s.Now().Add(time.Hour), e.DataUntil.UTC())

		s.Clock.Advance(time.Hour)
		require.Equal(t, []int{2}, s.eraseDue(t))
		require.Equal(t, []int{0}, s.eraseDue(t))
		for _, d := range []models.Delivery{pending, delivered} {
			e, err := s.Event(ctx, "acme", d.EventID)
			require.NoError(t, err)
			require.Nil(t, e.Data)
			require.Empty(t, e.Attributes)
			require.Equal(t, s.Now(), e.ErasedAt.UTC())
		}
		require.Equal(t, []any{models.Canceled, models.ReasonErased}, []any{s.Reload(t, pending).Status, s.Reload(t, pending).StatusReason})
		attempts, err := s.Attempts(ctx, "acme", delivered.ID)
		require.NoError(t, err)
		require.Empty(t, attempts[0].ResponseBody)
		for _, d := range []models.Delivery{kept, later} {
			e, err := s.Event(ctx, "acme", d.EventID)
			require.NoError(t, err)
			require.NotNil(t, e.Data)
			require.Equal(t, models.Pending, s.Reload(t, d).Status)
		}
		require.Len(t, s.found(t, "acme", models.EventFilter{Attribute: &models.Attribute{Name: "customer", Value: "4711"}}), 2)
	})
}

// Many events, and one that went to many webhooks, are erased in pages.
func TestEraseDue_DataIsErasedInPages(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		until := s.Now().Add(time.Hour)
		webhooks := []models.Webhook{s.Webhook(t, tenant), s.Webhook(t, tenant)}
		a := &models.Acceptance{Tenant: tenant, Version: s.Version(t, tenant)}
		for range 600 {
			s.Add(a, idAt(models.PrefixEvent, s.Now()), webhooks[0])
		}
		for i := range a.Events {
			a.Events[i].DataUntil = &until
		}
		s.mustAccept(t, a)
		wide := idAt(models.PrefixEvent, s.Now())
		s.backlog(t, webhooks[1], 1500, wide)
		require.NoError(t, s.DB().Exec("UPDATE events SET data_until = ? WHERE id = ?", until, wide).Error)
		s.Clock.Advance(2 * time.Hour)

		pages := s.eraseDue(t)
		total := 0
		for _, n := range pages {
			total += n
			require.LessOrEqual(t, n, 250)
		}
		require.Equal(t, 601, total)
		s.runJobs(t)
		require.Equal(t, map[string]int{"canceled payload erased": 600}, s.statuses(t, webhooks[0]))
		require.Equal(t, map[string]int{"canceled payload erased": 1500}, s.statuses(t, webhooks[1]))
	})
}
