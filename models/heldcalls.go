package models

import (
	"context"

	"gorm.io/gorm"
)

// heldColumns are the columns of a Call for a held delivery that has never been attempted.
const heldColumns = `d.id, '' AS parent_id, d.id AS delivery_id, d.event_id, d.event_type, d.webhook_id, w.url, 1 AS number,
	d.created_at AS started_at, 0 AS status_code, 'not sent: ' || d.status_reason AS error,
	CASE WHEN w.status <> 'active' THEN 'inactive' WHEN e.erased_at IS NOT NULL THEN 'erased' ELSE '' END AS obstacle`

// HeldCalls lists the calls that were due and have not been made because their webhook was not active, newest first:
// limit of them from offset on. Each has its delivery's id. total counts them as [Store.Calls] does.
func (s *Store) HeldCalls(ctx context.Context, tenant string, f CallFilter, limit, offset int) (rows []Call, total int64, err error) {
	if f.StatusCode != 0 || f.ParentID != "" || f.Received != nil && *f.Received {
		return nil, 0, nil
	}
	counted := s.heldCalls(ctx, tenant, f).Select("1").Limit(offset + countedMost)
	if err := s.db.WithContext(ctx).Table("(?) AS counted", counted).Count(&total).Error; err != nil || total == 0 {
		return nil, total, err
	}
	err = s.heldCalls(ctx, tenant, f).Select(heldColumns).Order("d.id DESC").Limit(limit).Offset(offset).Scan(&rows).Error
	return rows, total, err
}

func (s *Store) heldCalls(ctx context.Context, tenant string, f CallFilter) *gorm.DB {
	q := s.db.WithContext(ctx).Table("deliveries d").Joins("JOIN webhooks w ON w.id = d.webhook_id").
		Joins("JOIN events e ON e.tenant = d.tenant AND e.id = d.event_id").
		Where("d.tenant = ? AND d.status = 'held' AND d.attempts = 0 AND w.deleted_at IS NULL", tenant)
	for column, value := range map[string]string{"w.profile": f.Profile, "d.webhook_id": f.WebhookID, "d.event_id": f.EventID} {
		if value != "" {
			q = q.Where(column+" = ?", value)
		}
	}
	if len(f.IDs) > 0 {
		q = q.Where(s.oneOf("d.id", f.IDs))
	}
	if len(f.EventTypes) > 0 {
		q = q.Where(s.oneOf("d.event_type", f.EventTypes))
	}
	if f.Latest {
		q = q.Where("w.status = 'active' AND e.erased_at IS NULL")
	}
	return q
}
