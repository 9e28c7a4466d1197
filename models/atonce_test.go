package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

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

// An answer that does not come leaves it unknown whether what was sent is stored. Nothing is stored twice after that.
func TestAtOnce_AnAnswerThatDoesNotComeOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	w := s.Webhook(t, tenant)
	store, wire := s.throughWire(t)
	keyed := func(a *models.Acceptance) { a.Key, a.BodyHash, a.Answer = a.Events[0].ID, []byte("hash"), "[1]" }
	s.acceptThrough(t, store, tenant, w, keyed) // prepares the statements

	a := s.Acceptance(t, tenant, w)
	a.Version = s.Version(t, tenant)
	keyed(a)
	wire.deaf.Store(true)
	_, err := store.Accept(t.Context(), []*models.Acceptance{a})
	require.Error(t, err)
	require.NotErrorIs(t, err, models.ErrDuplicateEvent)
	wire.deaf.Store(false)
	require.Eventually(t, func() bool { return s.Count(t, "events") == 2 }, 10*time.Second, time.Millisecond)
	results, err := store.Accept(t.Context(), []*models.Acceptance{a})
	require.NoError(t, err)
	require.Equal(t, []models.Accepted{{Replayed: true, Answer: "[1]"}}, results)

	d := s.Publish(t, tenant, w)[0]
	record := s.Attempted(d, models.Delivered)
	_, err = store.Record(t.Context(), []*models.Record{s.Attempted(s.Publish(t, tenant, w)[0], models.Delivered)}, nil)
	require.NoError(t, err)
	wire.deaf.Store(true)
	_, err = store.Record(t.Context(), []*models.Record{record}, nil)
	require.Error(t, err)
	require.False(t, models.IsUniqueViolation(err))
	wire.deaf.Store(false)
	require.Eventually(t, func() bool { return s.Reload(t, d).Status == models.Delivered }, 10*time.Second, time.Millisecond)
	_, err = store.Record(t.Context(), []*models.Record{record}, nil)
	require.True(t, models.IsUniqueViolation(err), err)
	require.Equal(t, 1, s.Reload(t, d).Attempts)
	require.Equal(t, 2, s.Count(t, "attempts"))
}
