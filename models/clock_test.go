package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/models/modelstest"
	"github.com/posthorn/posthorn/test/pgtest"
)

// A process whose machine is an hour ahead stores the same times as the others. It does not send early, delay others,
// or treat their leases as expired.
func TestClock_AProcessWithAWrongClockAgreesWithTheOthersOnPostgres(t *testing.T) {
	t.Parallel()
	url := modelstest.Postgres(t)
	wrong := newClock()
	wrong.at = time.Now().Add(time.Hour)
	open := func(o models.Options) *database {
		store, err := models.Open(t.Context(), url, o)
		require.NoError(t, err)
		t.Cleanup(func() { _ = store.Close() })
		return &database{Store: store, URL: url, Clock: wrong}
	}
	right := open(models.Options{})
	ahead := open(models.Options{Now: wrong.Now, Correct: true})
	near := func(a, b time.Time, what string) { require.WithinDuration(t, a, b, time.Second, what) }
	near(right.Now(), ahead.Now(), "now")
	near(right.Store.Clock(), ahead.Store.Clock(), "the clock")
	wrong.at = wrong.at.Add(-3 * time.Hour) // somebody has set it
	near(right.Now(), ahead.Now(), "now, before it is measured again")
	near(right.Store.Clock(), ahead.Store.Clock(), "the clock, before it is measured again")
	require.NoError(t, ahead.MeasureClock(t.Context()))
	near(right.Now(), ahead.Now(), "now, measured again")
	wrong.at = time.Now().Add(time.Hour)
	require.NoError(t, ahead.MeasureClock(t.Context()))

	w := right.Webhook(t, right.Tenant(t, "acme"))
	for range 2 {
		for _, s := range []*database{ahead, right} {
			at, err := s.ReservePace(t.Context(), w.ID, 1000, 1)
			require.NoError(t, err)
			near(time.Now(), at, "a time that a rate gives")
			at, err = s.TakePace(t.Context(), w.ID, 1000)
			require.NoError(t, err)
			near(time.Now(), at, "the time of a POST")
		}
	}

	granted, err := right.Lease(t.Context(), w.ID, "right", 3, 5, time.Minute)
	require.NoError(t, err)
	require.Equal(t, 3, granted)
	granted, err = ahead.Lease(t.Context(), w.ID, "ahead", 5, 5, time.Minute)
	require.NoError(t, err)
	require.Equal(t, 2, granted, "the other's lease has not expired")
	granted, err = right.Lease(t.Context(), w.ID, "right", 5, 5, time.Minute)
	require.NoError(t, err)
	require.Equal(t, 3, granted, "nor has this one")
	var leases []struct{ ExpiresAt time.Time }
	require.NoError(t, right.DB().Raw("SELECT expires_at FROM webhook_leases").Scan(&leases).Error)
	near(leases[0].ExpiresAt, leases[1].ExpiresAt, "the ends of leases")

	d := right.Publish(t, "acme", w)[0]
	for _, s := range []*database{ahead, right} {
		page, err := s.Overdue(t.Context(), s.Now().Add(time.Second), models.Mark{}, 10)
		require.NoError(t, err)
		fresh, err := s.TakeOver(t.Context(), page.Deliveries, s.Now().Add(time.Second), 1)
		require.NoError(t, err)
		require.Len(t, fresh, 1)
		near(time.Now(), *right.Reload(t, d).NextAttemptAt, "the next attempt")
	}
}

func TestClock_ThatIsGivenIsKept(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		require.Equal(t, s.Clock.Now().Truncate(time.Millisecond), s.Now())
	})
}

func TestClock_IDsAreOfTheDatabasesTime(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour} {
		at := time.Now().Add(ahead)
		id := models.NewIDAhead(models.PrefixEvent, ahead.Milliseconds())
		require.True(t, models.HasIDForm(models.PrefixEvent, id))
		require.Greater(t, id, models.IDBefore(models.PrefixEvent, at.Add(-time.Millisecond)))
		require.Less(t, id, models.IDBefore(models.PrefixEvent, at.Add(5*time.Second)))
	}
}

// If the process's clock is changed while it runs, ids stay in order and keep the database's time.
func TestClock_IDsFollowAClockThatIsSetOnPostgres(t *testing.T) {
	store, err := models.Open(t.Context(), pgtest.URL(t), models.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	for _, step := range []time.Duration{0, time.Hour, -time.Hour, 0} {
		require.InDelta(t, -step.Milliseconds(), models.IDsOffset(time.Now().Add(step)), 3)
	}
}
