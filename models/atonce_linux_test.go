package models_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestAtOnce_AcceptAndRecordTakeOneRoundTripEachOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	w := s.Webhook(t, tenant)
	store, counted := s.throughWire(t)

	const times = 20
	n := 0
	for name, change := range map[string]func(*models.Acceptance){
		"an event": func(*models.Acceptance) {},
		"with everything": func(a *models.Acceptance) {
			n++
			a.Key, a.BodyHash, a.Answer = strconv.Itoa(n), []byte("hash"), "[]"
			a.Events[0].ExternalID, a.Events[0].Channels, a.Events[0].Tags = strconv.Itoa(n), []string{"one"}, []string{"two"}
		},
	} {
		for round := range 2 { // in the first round statements are prepared
			before := counted.sent.Load()
			for range times {
				a := s.acceptThrough(t, store, tenant, w, change)
				recorded, err := store.Record(t.Context(), []*models.Record{s.Attempted(a.Deliveries[0], models.Delivered)}, []string{a.Dispatches[0].ID})
				require.NoError(t, err)
				require.True(t, recorded[0].Applied)
			}
			if sent := counted.sent.Load() - before; round == 1 {
				require.LessOrEqual(t, sent, int64(2*times+times/4), "%s: one for each; some messages may arrive in two parts", name)
			}
		}
	}
	require.Equal(t, 4*times, s.Count(t, "attempts"))
	require.Zero(t, s.Count(t, "dispatches"))
	require.Equal(t, 2*times, s.Count(t, "idempotency_keys"))
}

// Whatever is not new, it is refused alone. For a minute what its tenant sends is not taken to be new.
func TestAtOnce_WhatIsNotNewIsFoundOutCarefullyOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	w := s.Webhook(t, tenant)
	store, counted := s.throughWire(t)
	other := s.Tenant(t, "other")
	elsewhere := s.Webhook(t, other)
	first := s.acceptThrough(t, store, tenant, w, func(a *models.Acceptance) {
		a.Key, a.BodyHash, a.Answer, a.Events[0].ExternalID = "key", []byte("hash"), "[1]", "external"
	})

	for name, c := range map[string]struct {
		change func(*models.Acceptance)
		want   models.Accepted
	}{
		"its id":          {func(a *models.Acceptance) { a.Events[0].ID = first.Events[0].ID }, models.Accepted{Err: models.ErrDuplicateEvent}},
		"its external id": {func(a *models.Acceptance) { a.Events[0].ExternalID = "external" }, models.Accepted{Err: models.ErrDuplicateExternal}},
		"its key":         {func(a *models.Acceptance) { a.Key, a.BodyHash = "key", []byte("hash") }, models.Accepted{Replayed: true, Answer: "[1]"}},
		"its tenant":      {func(a *models.Acceptance) { a.Version-- }, models.Accepted{Err: models.ErrStale}},
	} {
		events := s.Count(t, "events")
		fine, not := s.Acceptance(t, tenant, w), s.Acceptance(t, tenant, w)
		fine.Version = s.Version(t, tenant)
		not.Version = fine.Version
		c.change(not)
		results, err := store.Accept(t.Context(), []*models.Acceptance{not, fine})
		require.NoError(t, err, name)
		require.Equal(t, []models.Accepted{c.want, {}}, results, name)
		require.Equal(t, events+1, s.Count(t, "events"), name)
		require.Equal(t, models.Pending, s.Reload(t, fine.Deliveries[0]).Status, name)

		trips := func(tenant string, w models.Webhook) int64 {
			before := counted.sent.Load()
			for range 10 {
				s.acceptThrough(t, store, tenant, w)
			}
			return counted.sent.Load() - before
		}
		require.GreaterOrEqual(t, trips(tenant, w), int64(20), name)
		require.Less(t, trips(other, elsewhere), int64(20), "%s: another tenant", name)
		s.Clock.Advance(time.Minute)
		require.Less(t, trips(tenant, w), int64(20), name)
	}
}
