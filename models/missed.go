package models

import (
	"context"
	"time"
)

// lookedAt is how many webhooks one statement of the reconciler examines.
const lookedAt = 1000

// reach returns the last id of the lookedAt webhooks after an id; "" if there are fewer.
func (s *Store) reach(ctx context.Context, after string) (string, error) {
	var last string
	err := s.db.WithContext(ctx).Raw(`SELECT webhook_id FROM webhook_health WHERE webhook_id > ? ORDER BY webhook_id LIMIT 1 OFFSET ?`,
		after, lookedAt-1).Scan(&last).Error
	return last, err
}

// within restricts a column to a page of ids, which starts after @after and ends with @last, or has no end. Without an
// end the bound is omitted, so that the database can always read the page from an index.
func within(column, last string) string {
	if last == "" {
		return column + " > @after"
	}
	return column + " > @after AND " + column + " <= @last"
}

// NeedHealthCheck examines the webhooks after an id and returns, in the order of their ids, up to limit whose health
// workflow may have missed something: active ones over the threshold or a mark, or with an unsent notification. next
// is where the following page starts, "" after the last. A deleted webhook needs nothing.
func (s *Store) NeedHealthCheck(ctx context.Context, threshold int64, after string, limit int) (ids []string, next string, err error) {
	if next, err = s.reach(ctx, after); err != nil {
		return nil, "", err
	}
	err = s.db.WithContext(ctx).Raw(`
		SELECT w.id FROM webhook_health h JOIN webhooks w ON w.id = h.webhook_id
		WHERE `+within("h.webhook_id", next)+` AND `+within("w.id", next)+` AND w.status = @active AND w.deleted_at IS NULL
		AND (h.failed >= @threshold OR (h.failed >= @first AND h.warned < @firstMark) OR (h.failed >= @second AND h.warned < @secondMark))
		UNION
		SELECT n.webhook_id FROM notifications n JOIN webhooks w ON w.id = n.webhook_id
		WHERE `+within("n.webhook_id", next)+` AND n.sent_at IS NULL AND n.created_at < @created AND w.deleted_at IS NULL
		ORDER BY 1 LIMIT @limit`, map[string]any{"after": after, "last": next, "active": WebhookActive, "threshold": threshold,
		"first": MarkAt(threshold, WarningMarks[0]), "firstMark": WarningMarks[0], "second": MarkAt(threshold, WarningMarks[1]), "secondMark": WarningMarks[1],
		"created": s.now().Add(-time.Minute), "limit": limit}).Scan(&ids).Error
	if err == nil && len(ids) == limit {
		next = ids[limit-1]
	}
	return ids, next, err
}

// RunningRecoveries returns the ids of up to limit unfinished recoveries after an id, oldest first. next is where the
// following page starts, "" after the last.
func (s *Store) RunningRecoveries(ctx context.Context, after string, limit int) (ids []string, next string, err error) {
	err = s.db.WithContext(ctx).Raw(`SELECT id FROM recoveries WHERE status = 'running' AND id > ? ORDER BY id LIMIT ?`, after, limit).Scan(&ids).Error
	if len(ids) == limit {
		next = ids[limit-1]
	}
	return ids, next, err
}
