package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// The last failure that a webhook's health knows is found among its attempts.
func TestLastFailure_IsFound(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.Tenant(t, "acme")
		w, other := s.Webhook(t, "acme"), s.Webhook(t, "acme")
		var failed models.Attempt
		for i := range 20 {
			s.Clock.Advance(time.Second)
			for _, to := range []models.Webhook{w, other} {
				d := s.Publish(t, "acme", to)[0]
				r := s.Attempted(d, models.Delivered)
				r.Attempt.ID = idAt(models.PrefixAttempt, s.Now())
				if i == 7 {
					r = s.Attempted(d, models.Failed)
					r.Attempt.ID, r.Attempt.ResponseBody = idAt(models.PrefixAttempt, s.Now().Add(30*time.Second)), []byte(to.ID)
					failed = r.Attempt
				}
				_, err := s.Record(t.Context(), []*models.Record{r}, nil)
				require.NoError(t, err)
			}
		}
		read, err := s.FailureAt(t.Context(), "acme", w.ID, failed.StartedAt)
		require.NoError(t, err)
		require.Equal(t, w.ID, string(read.ResponseBody))
		_, err = s.FailureAt(t.Context(), "globex", w.ID, failed.StartedAt)
		require.ErrorIs(t, err, models.ErrNotFound)
		_, err = s.FailureAt(t.Context(), "acme", w.ID, failed.StartedAt.Add(time.Second))
		require.ErrorIs(t, err, models.ErrNotFound, "that one was received")
	})
}
