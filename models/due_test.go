package models_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// What waits for a worker is due until a worker has it.
func TestDue_TellsOfProcessesOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	alive, killed := s.process(t), s.process(t)
	due := func() models.Due {
		t.Helper()
		require.NoError(t, alive.Beat(t.Context()))
		due, err := alive.Due(t.Context())
		require.NoError(t, err)
		return due
	}
	s.Clock.Advance(models.SilentFor)
	require.Zero(t, due())

	s.Clock.Advance(time.Millisecond)
	require.Equal(t, models.Due{Silent: true}, due())
	_, err := alive.DeclareGone(t.Context())
	require.NoError(t, err)
	require.Equal(t, models.Due{Gone: true}, due())
	gone, err := alive.ClaimGone(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int64{killed.ProcessID()}, ids(gone))
	require.Zero(t, due(), "a worker has it")
	require.NoError(t, alive.ReleaseGone(t.Context(), ids(gone)))
	require.Equal(t, models.Due{Gone: true}, due())
	_, err = alive.ClaimGone(t.Context())
	require.NoError(t, err)
	require.Zero(t, due())
	for range 3 {
		s.Clock.Advance(4 * time.Second)
		require.NoError(t, alive.Beat(t.Context()))
	}
	require.Equal(t, models.Due{Gone: true}, due(), "it is walked over again")
}

func TestDue_TellsOfJobsAndBatches(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		due := func() models.Due {
			t.Helper()
			due, err := s.Due(t.Context())
			require.NoError(t, err)
			return due
		}
		tenant := s.Tenant(t, "acme")
		s.mustAccept(t, s.later(t, tenant, 1, s.Webhook(t, tenant)))
		require.Equal(t, models.Due{Batches: true}, due())
		_, err := s.RunBatch(t.Context(), tenant, 1)
		require.NoError(t, err)
		require.Zero(t, due())

		job := models.Job{ID: idAt("job_", s.Now()), Kind: "hold", Members: []byte{}, Tenant: tenant, CreatedAt: s.Now(), DueAt: s.Now().Add(time.Second)}
		require.NoError(t, s.DB().Create(&job).Error)
		require.Zero(t, due(), "it is put off")
		s.Clock.Advance(time.Second)
		require.Equal(t, models.Due{Jobs: true}, due())
		require.NotEmpty(t, s.runJobs(t))
		require.Zero(t, due())
	})
}

// A process reports both of its rows in one statement, and asks in one statement what is due.
func TestDue_AnIdleWorkerMakesFewStatements(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		p := s.posting(t)
		require.NoError(t, p.Beat(t.Context()))
		statements := 0
		p.Watch(func(string, int) { statements++ })
		require.NoError(t, p.Beat(t.Context()))
		require.Equal(t, 1, statements)
		_, err := p.Due(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, statements)
	})
}

func TestDue_ReadsOneRowOfEachKindOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	s.crowd(t)
	tenant := s.Tenant(t, "acme")
	w := s.Webhook(t, tenant)
	for range 20 {
		s.mustAccept(t, s.later(t, tenant, 1, w))
		require.NoError(t, s.DB().Create(&models.Job{ID: idAt("job_", s.Now()), Kind: "hold", Members: []byte{}, Tenant: tenant, CreatedAt: s.Now(), DueAt: s.Now()}).Error)
	}
	got := s.countingOf(t, func(ctx context.Context, tx *models.Store) error {
		_, err := tx.Due(ctx)
		return err
	}, "jobs", "batches")
	require.LessOrEqual(t, got.Rows, int64(2))
}
