package models

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Call is an attempt as a system's call log shows it: with its event and webhook, and without the answer's body.
type Call struct {
	ID         string
	ParentID   string // the delivery's first attempt; "" for that one itself, and once it has been deleted
	DeliveryID string
	EventID    string
	EventType  string
	WebhookID  string
	URL        string // the URL of the POST; for attempts recorded without it, the webhook's current one
	Number     int    // counted from 1, through retries and replays
	StartedAt  time.Time
	StatusCode int    // 0 = no answer
	Error      string // empty if received
	ReplayedAt *time.Time
	// Obstacle says why the call cannot be replayed now; "" if it can.
	Obstacle Obstacle
}

// Obstacle is a reason why a delivery cannot be made again.
type Obstacle string

// The obstacles to a replay. The webhook's come before the event's.
const (
	ObstacleDeleted  Obstacle = "deleted"  // the webhook has been deleted
	ObstacleInactive Obstacle = "inactive" // the webhook is not active
	ObstacleErased   Obstacle = "erased"   // the event's payload has been erased
)

// CallFilter filters a list of calls; zero values do not.
type CallFilter struct {
	Profile    string
	IDs        []string
	EventTypes []string
	WebhookID  string
	EventID    string
	ParentID   string // only the repeats of this call
	Received   *bool
	StatusCode int
	// Latest selects only the last call of each delivery, and only those that can be replayed.
	Latest bool
}

// callColumns are the columns of a Call. An attempt's delivery, webhook and event outlive it, so the joins lose
// nothing.
const callColumns = `a.id, COALESCE((SELECT min(p.id) FROM attempts p WHERE p.delivery_id = a.delivery_id AND p.tenant = a.tenant
		AND p.number = 1 AND a.number > 1), '') AS parent_id,
	a.delivery_id, d.event_id, d.event_type, a.webhook_id, COALESCE(NULLIF(a.url, ''), w.url) AS url, a.number, a.started_at, a.status_code, a.error, r.replayed_at,
	CASE WHEN w.deleted_at IS NOT NULL THEN 'deleted' WHEN w.status <> 'active' THEN 'inactive'
		WHEN e.erased_at IS NOT NULL THEN 'erased' ELSE '' END AS obstacle`

// countedMost is how many calls beyond a page's offset are counted for its total: counting millions on each page takes
// longer than reading the page.
const countedMost = 10_000

// Calls lists a tenant's calls, newest first: limit of them from offset on. total counts the calls that match the
// filter, up to countedMost beyond the offset: a client that turns pages up to the total reaches all of them.
func (s *Store) Calls(ctx context.Context, tenant string, f CallFilter, limit, offset int) (rows []Call, total int64, err error) {
	counted := s.calls(ctx, tenant, f, false).Select("1").Limit(offset + countedMost)
	if err := s.db.WithContext(ctx).Table("(?) AS counted", counted).Count(&total).Error; err != nil || total == 0 {
		return nil, total, err
	}
	err = s.calls(ctx, tenant, f, true).Select(callColumns).
		Joins("LEFT JOIN replays r ON r.tenant = a.tenant AND r.attempt_id = a.id").
		Order("a.id DESC").Limit(limit).Offset(offset).Scan(&rows).Error
	return rows, total, err
}

// calls builds the filtered query. With whole it joins everything that a Call shows; without, only the tables that the
// filter needs, which is enough for counting.
func (s *Store) calls(ctx context.Context, tenant string, f CallFilter, whole bool) *gorm.DB {
	q := s.db.WithContext(ctx).Table("attempts a").Where("a.tenant = ?", tenant)
	if whole || f.Latest || f.WebhookID != "" || f.EventID != "" || len(f.EventTypes) > 0 {
		q = q.Joins("JOIN deliveries d ON d.tenant = a.tenant AND d.id = a.delivery_id")
	}
	if whole || f.Latest || f.Profile != "" {
		q = q.Joins("JOIN webhooks w ON w.id = a.webhook_id")
	}
	if whole || f.Latest {
		q = q.Joins("JOIN events e ON e.tenant = d.tenant AND e.id = d.event_id")
	}
	for column, value := range map[string]string{"w.profile": f.Profile, "d.webhook_id": f.WebhookID, "d.event_id": f.EventID} {
		if value != "" {
			q = q.Where(column+" = ?", value)
		}
	}
	if len(f.IDs) > 0 {
		q = q.Where(s.oneOf("a.id", f.IDs))
	}
	if len(f.EventTypes) > 0 {
		q = q.Where(s.oneOf("d.event_type", f.EventTypes))
	}
	if f.ParentID != "" {
		q = q.Where("a.number > 1 AND a.delivery_id = (SELECT p.delivery_id FROM attempts p WHERE p.tenant = ? AND p.id = ? AND p.number = 1)",
			tenant, f.ParentID)
	}
	if f.StatusCode != 0 {
		q = q.Where("a.status_code = ?", f.StatusCode)
	}
	if f.Received != nil {
		q = q.Where("(a.error = '') = ?", *f.Received)
	}
	if f.Latest {
		q = q.Where("a.number = d.attempts AND w.deleted_at IS NULL AND w.status = 'active' AND e.erased_at IS NULL")
	}
	return q
}

// Replay records that a replay of an attempt was requested, and when last.
type Replay struct {
	Tenant     string `gorm:"primaryKey"`
	AttemptID  string `gorm:"primaryKey"`
	ReplayedAt time.Time
}

// NoteReplay records that an attempt is being repeated on request. ErrNotFound if the tenant does not exist.
func (s *Store) NoteReplay(ctx context.Context, tenant, attemptID string) error {
	return s.changeTenant(ctx, tenant, func(tx *Store) error {
		if err := tx.holdTenant(ctx, tenant); err != nil {
			return err
		}
		return tx.db.WithContext(ctx).Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "tenant"}, {Name: "attempt_id"}},
			DoUpdates: clause.AssignmentColumns([]string{"replayed_at"}),
		}).Create(&Replay{Tenant: tenant, AttemptID: attemptID, ReplayedAt: tx.now()}).Error
	})
}
