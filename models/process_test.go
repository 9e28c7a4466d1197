package models_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// process is another process on the same database, whose silence the test's clock measures.
func (s *database) process(tb testing.TB) *database {
	tb.Helper()
	p := &database{Store: s.Open(tb), URL: s.URL, Clock: s.Clock}
	p.PresenceClock(s.Clock.Now)
	require.NoError(tb, p.Beat(tb.Context()))
	return p
}

// waiting accepts n events that wait in the process's memory for a shared dispatch.
func (s *database) waiting(tb testing.TB, n int, w models.Webhook) []models.Delivery {
	tb.Helper()
	a := &models.Acceptance{Tenant: w.Tenant, Version: s.Version(tb, w.Tenant)}
	for range n {
		s.Add(a, idAt(models.PrefixEvent, s.Now()), w)
	}
	a.Dispatches = nil
	for i := range a.Deliveries {
		a.Deliveries[i].DispatchID, a.Deliveries[i].Process = "", s.ProcessID()
	}
	s.mustAccept(tb, a)
	return a.Deliveries
}

// started accepts one event whose workflow the process is to start.
func (s *database) started(tb testing.TB, w models.Webhook) models.Delivery {
	tb.Helper()
	a := s.Acceptance(tb, w.Tenant, w)
	a.Dispatches[0].Process, a.Deliveries[0].Process = s.ProcessID(), s.ProcessID()
	s.mustAccept(tb, a)
	return a.Deliveries[0]
}

func ids(processes []models.Process) []int64 {
	var all []int64
	for _, p := range processes {
		all = append(all, p.ID)
	}
	return all
}

func TestProcesses_AProcessThatIsSilentIsGoneOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	alive, killed := s.process(t), s.process(t)
	first, last := alive.ProcessID(), killed.ProcessID()
	require.NotEqual(t, first, last)
	declare := func() []int64 {
		gone, err := alive.DeclareGone(t.Context())
		require.NoError(t, err)
		return ids(gone)
	}
	runs := func() bool {
		runs, err := alive.Runs(t.Context(), last)
		require.NoError(t, err)
		return runs
	}
	for range 5 {
		s.Clock.Advance(time.Second)
		require.NoError(t, alive.Beat(t.Context()))
		require.Empty(t, declare())
		require.True(t, runs())
	}
	s.Clock.Advance(time.Millisecond)
	require.False(t, runs())
	require.Equal(t, []int64{last}, declare())
	require.Empty(t, declare(), "once")
	require.Equal(t, first, alive.ProcessID(), "it beats as ever")

	claim := func(p *database) []int64 {
		gone, err := p.ClaimGone(t.Context())
		require.NoError(t, err)
		return ids(gone)
	}
	require.Equal(t, []int64{last}, claim(alive))
	require.Empty(t, claim(s.process(t)), "one worker at a time")
	require.NoError(t, alive.ReleaseGone(t.Context(), []int64{last}))
	require.Equal(t, []int64{last}, claim(alive), "what failed is tried again at once")
	s.Clock.Advance(11 * time.Second)
	require.Equal(t, []int64{last}, claim(alive), "and what was locked, later")
	require.NoError(t, alive.ForgetGone(t.Context(), time.Minute))
	require.Empty(t, claim(alive))
	s.Clock.Advance(time.Minute)
	require.NoError(t, alive.ForgetGone(t.Context(), time.Minute))
	require.Equal(t, 2, s.Count(t, "processes"))
}

// A process that was suspended for longer than the others wait gives up its deliveries, because they have taken them
// over.
func TestProcesses_ASuspendedProcessOwnsNothingWhenItGoesOnOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	p := s.process(t)
	id := p.ProcessID()
	require.True(t, p.Owns(id))
	require.True(t, p.Owns(0), "what nobody knows of is found when it is overdue, and no sooner")
	s.Clock.Advance(3999 * time.Millisecond)
	require.True(t, p.Owns(id))
	s.Clock.Advance(time.Second)
	require.False(t, p.Owns(id), "a second before the others may take it over")
	require.Equal(t, id, p.ProcessID(), "what it accepts now is for the others, too")

	require.NoError(t, p.Beat(t.Context()))
	next := p.ProcessID()
	require.NotZero(t, next)
	require.NotEqual(t, id, next)
	require.False(t, p.Owns(id), "for good")
	gone, err := p.ClaimGone(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int64{id}, ids(gone), "it says itself that the other is gone")

	s.Clock.Advance(7 * time.Second)
	_, err = s.process(t).DeclareGone(t.Context())
	require.NoError(t, err)
	require.NoError(t, p.Beat(t.Context()))
	require.NotContains(t, []int64{0, id, next}, p.ProcessID(), "others say so, too")
	require.False(t, p.Owns(next))
}

// A process that was silent for a moment, and has given up nothing, continues unchanged.
func TestProcesses_AShortSilenceChangesNothing(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		p := s.process(t)
		id := p.ProcessID()
		s.Clock.Advance(time.Hour) // no process is there to declare it gone
		require.NoError(t, p.Beat(t.Context()))
		require.Equal(t, id, p.ProcessID())
		require.True(t, p.Owns(id))
		p.LetGo()
		require.False(t, p.Owns(id))
		require.NoError(t, p.Beat(t.Context()))
		require.NotEqual(t, id, p.ProcessID())
	})
}

func TestProcesses_AProcessThatJoinsAndLeaves(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		p := s.Open(t)
		require.NoError(t, p.Leave(t.Context()), "it has not joined")
		require.NoError(t, p.Join(t.Context(), "api"))
		id := p.ProcessID()
		require.NotZero(t, id)
		require.NoError(t, p.Leave(t.Context()))
		gone, err := s.ClaimGone(t.Context())
		require.NoError(t, err)
		require.Equal(t, []int64{id}, ids(gone), "at once, though it was not silent")
		require.Equal(t, "api", gone[0].Kind)
		require.NotNil(t, gone[0].GoneAt)
	})
}

// On SQLite there is one process, so all earlier processes have ended.
func TestProcesses_OnSQLiteTheNextProcessEndsTheLast(t *testing.T) {
	t.Parallel()
	s := sqlite(t)
	id := s.process(t).ProcessID()
	next := s.process(t)
	gone, err := next.ClaimGone(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int64{id}, ids(gone))
}

// gone returns a process in the state of one that has been declared gone.
func gone(id int64) []models.Process { return []models.Process{{ID: id}} }

func TestProcesses_WhatAGoneProcessHeld(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		before := s.waiting(t, 1, w)
		killed := s.process(t)
		id := killed.ProcessID()
		waits, starts := killed.waiting(t, 2, w), killed.started(t, w)
		shared := killed.waiting(t, 1, w)
		p, err := killed.CreateSharedDispatch(t.Context(), keysOf(shared...))
		require.NoError(t, err)
		require.Equal(t, id, p.Process)
		alive := s.process(t)
		alive.waiting(t, 2, w)
		alive.started(t, w)
		_, err = alive.CreateSharedDispatch(t.Context(), keysOf(alive.waiting(t, 1, w)...))
		require.NoError(t, err)
		s.Clock.Advance(time.Second)

		held := func() models.Overdue {
			page, err := s.Overdue(t.Context(), s.Now(), models.Mark{}, 100)
			require.NoError(t, err)
			require.Len(t, page.Deliveries, len(before)+4+4)
			return page.HeldBy(gone(id))
		}
		page := held()
		require.ElementsMatch(t, keysOf(waits[0], waits[1], starts, shared[0]), keysOf(page.Deliveries...))
		require.True(t, page.Nameless())
		require.NoError(t, s.ClaimSharedOf(t.Context(), gone(id)))
		page = held()
		require.ElementsMatch(t, []string{starts.DispatchID, p.ID}, page.Doubtful(s.Now()))
		require.ElementsMatch(t, keysOf(waits...), keysOf(page.Undriven(nil)...), "of the others Temporal knows")
		require.Len(t, page.Doubtful(s.Now().Add(-time.Hour)), 2, "when they were made says nothing")
		asked := s.Now()
		s.Clock.Advance(time.Second)
		require.NoError(t, s.DispatchesChecked(t.Context(), []string{starts.DispatchID, p.ID}))
		require.Empty(t, new(held()).Doubtful(asked), "what was found alive since is not asked after again")
		page.Deliveries = page.Undriven([]string{starts.DispatchID})
		require.ElementsMatch(t, keysOf(waits[0], waits[1], starts), keysOf(page.Deliveries...))

		taker := s.process(t)
		fresh, err := taker.TakeOver(t.Context(), page.Deliveries, s.Now(), 100)
		require.NoError(t, err)
		require.Len(t, fresh, 1)
		require.Len(t, fresh[0].Deliveries, 3)
		require.Equal(t, taker.ProcessID(), fresh[0].Process, "the one that took it over has to start it")
		for _, d := range page.Deliveries {
			require.Equal(t, d.Generation+1, s.Reload(t, d).Generation)
		}
	})
}

// The next walk continues one that ended between taking over deliveries and the rest of their dispatch.
func TestProcesses_WhatAWalkHasLeftIsFoundByTheNext(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		killed := s.process(t)
		d := killed.started(t, w)
		require.NoError(t, s.ForgetDispatches(t.Context(), []string{d.DispatchID}))
		s.Clock.Advance(time.Second)
		page, err := s.Overdue(t.Context(), s.Now(), models.Mark{}, 100)
		require.NoError(t, err)
		held := page.HeldBy(gone(killed.ProcessID()))
		require.Equal(t, keysOf(d), keysOf(held.Undriven(nil)...))
	})
}

func TestProcesses_TheLeasesOfAGoneProcessAreFree(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		require.Empty(t, s.LeaseHolder())
		killed := s.process(t)
		take := func(holder string) int {
			n, err := s.Lease(t.Context(), w.ID, holder, 2, 2, time.Minute)
			require.NoError(t, err)
			return n
		}
		require.Equal(t, 2, take(killed.LeaseHolder()))
		require.Zero(t, take("other"))
		require.NoError(t, s.FreeLeases(t.Context(), gone(killed.ProcessID())))
		require.Equal(t, 2, take("other"))
	})
}

// The statements about processes cost the same, however many deliveries processes hold.
func TestProcesses_WhatProcessesSayReadsNothingElseOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	s.crowd(t)
	p := s.process(t)
	got := s.counting(t, func(ctx context.Context, tx *models.Store) error {
		if _, err := tx.Due(ctx); err != nil {
			return err
		}
		if _, err := tx.DeclareGone(ctx); err != nil {
			return err
		}
		if _, err := tx.ClaimGone(ctx); err != nil {
			return err
		}
		if _, err := tx.Runs(ctx, p.ProcessID()); err != nil {
			return err
		}
		if err := tx.FreeLeases(ctx, gone(p.ProcessID())); err != nil {
			return err
		}
		return tx.ClaimSharedOf(ctx, gone(p.ProcessID()))
	})
	require.Zero(t, got.Rows)
}
