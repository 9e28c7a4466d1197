package models

import (
	"context"
	"time"
)

// KeyUsed records when a key was used. A later time from another process stays.
func (s *Store) KeyUsed(ctx context.Context, id string, at time.Time) error {
	at = at.UTC().Truncate(time.Millisecond)
	return s.db.WithContext(ctx).Exec("UPDATE api_keys SET last_used_at = ? WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)", at, id, at).Error
}
