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

// Whatever is not new, it is refused alone, and for a second no group is taken to be new.
func TestAtOnce_WhatIsNotNewIsFoundOutCarefullyOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	w := s.Webhook(t, tenant)
	store, counted := s.throughWire(t)
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

		before := counted.sent.Load()
		s.acceptThrough(t, store, tenant, w)
		require.Greater(t, counted.sent.Load()-before, int64(1), name)
		s.Clock.Advance(time.Second)
		before = counted.sent.Load()
		s.acceptThrough(t, store, tenant, w)
		require.LessOrEqual(t, counted.sent.Load()-before, int64(2), name)
	}
}

// What only COMMIT finds out is an error too.
func TestAtOnce_AnErrorOfTheCommitIsReportedOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	w := s.Webhook(t, tenant)
	for _, statement := range []string{
		"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''refused''; END'",
		"CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON stat_deltas DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()",
	} {
		require.NoError(t, s.DB().Exec(statement).Error)
	}
	a := s.Acceptance(t, tenant, w)
	a.Version = s.Version(t, tenant)
	_, err := s.Accept(t.Context(), []*models.Acceptance{a})
	require.ErrorContains(t, err, "refused")
	require.Zero(t, s.Count(t, "events"))
	require.Zero(t, s.Count(t, "deliveries"))
	require.Zero(t, s.Pool().InUse)
}

// A group with one delivery that was changed meanwhile is recorded as if nothing had been tried at once.
func TestAtOnce_AChangedDeliveryIsRecordedCarefullyOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	w := s.Webhook(t, tenant)
	one, other := s.Publish(t, tenant, w)[0], s.Publish(t, tenant, w)[0]
	fine, late := s.Attempted(one, models.Delivered), s.Attempted(other, models.Delivered)
	require.NoError(t, s.DB().Exec("UPDATE deliveries SET status = 'canceled', finished_at = created_at, generation = generation + 1 WHERE id = ?", other.ID).Error)

	require.Equal(t, []models.Recorded{{Applied: true}, {}}, s.MustRecord(t, fine, late))
	require.Equal(t, models.Delivered, s.Reload(t, one).Status)
	require.Equal(t, models.Canceled, s.Reload(t, other).Status)
	require.Equal(t, 1, s.Reload(t, one).Attempts)
	require.Equal(t, 1, s.Reload(t, other).Attempts)
	require.Equal(t, 2, s.Count(t, "attempts"))
}
