package models

import (
	"context"
	"time"
)

// The time in the id of a failed attempt is that of its end, by the clock of a worker. It is at most failureWithin after the
// attempt began, as a POST may take a minute, and at most failureAhead before, if clocks differ.
const (
	failureWithin = 5 * time.Minute
	failureAhead  = time.Minute
)

// FailureAt reads the failed attempt of a webhook that began at a time. ErrNotFound if it is no longer kept.
func (s *Store) FailureAt(ctx context.Context, tenant, webhookID string, at time.Time) (Attempt, error) {
	var a Attempt
	err := s.db.WithContext(ctx).Where("webhook_id = ? AND id >= ? AND id < ?", webhookID,
		IDBefore(PrefixAttempt, at.Add(-failureAhead)), IDBefore(PrefixAttempt, at.Add(failureWithin))).
		Where("tenant = ? AND started_at = ? AND error <> ''", tenant, at).Order("id DESC").Limit(1).Take(&a).Error
	return a, found(err)
}
