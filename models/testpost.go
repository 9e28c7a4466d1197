package models

import (
	"context"
	"time"

	"gorm.io/gorm"
)

// TestPost is the POST of a test. Lists of tests show it as a delivery with one attempt.
type TestPost struct {
	ID        string
	Tenant    string
	WebhookID string
	EventID   string // the id of an event that is not stored
	EventType string
	Status    DeliveryStatus // Delivered or Failed
	Attempt   Attempt        `gorm:"serializer:json;not null"`
	CreatedAt time.Time
}

// TableName returns the name of the table.
func (*TestPost) TableName() string { return "tests" }

// Delivery returns the delivery that represents the test.
func (t *TestPost) Delivery() Delivery {
	end := t.Attempt.StartedAt.Add(time.Duration(t.Attempt.DurationMS) * time.Millisecond)
	return Delivery{Tenant: t.Tenant, ID: t.ID, EventID: t.EventID, EventType: t.EventType, WebhookID: t.WebhookID, Status: t.Status, Attempts: 1,
		Test: true, CreatedAt: t.CreatedAt, FinishedAt: &end}
}

// CreateTests stores tests of a tenant. ErrNotFound if the tenant does not exist.
func (s *Store) CreateTests(ctx context.Context, tenant string, tests []TestPost) error {
	if len(tests) == 0 {
		return nil
	}
	now := s.now()
	for i := range tests {
		tests[i].ID, tests[i].Tenant, tests[i].CreatedAt = NewID(PrefixDelivery), tenant, now
		tests[i].Attempt.DeliveryID = tests[i].ID
	}
	return s.Tx(ctx, func(tx *Store) error {
		if err := tx.holdTenant(ctx, tenant); err != nil {
			return err
		}
		return tx.db.WithContext(ctx).Create(&tests).Error
	})
}

// Tests lists a tenant's tests, newest first; tenant "" = those of all tenants. It ignores the parts of the filter
// about labels and attempts: a test has no labels, and exactly one attempt. If no index has exactly what the filter keeps, a page looks
// at lookedMost: it may be short, or empty, and have a next one.
func (s *Store) Tests(ctx context.Context, tenant string, f DeliveryFilter, p Page) ([]TestPost, string, error) {
	cursors := cursorsOf(listTests, tenant, f.WebhookID, f.EventID, f.EventType, string(f.Status), boundText(f.Since), boundText(f.Until))
	after, err := cursors.parseID(p)
	if err != nil {
		return nil, "", err
	}
	db := s.db.WithContext(ctx)
	q := db.Table("tests")
	if tenant != "" {
		q = q.Where("tenant = ?", tenant)
		if f.WebhookID != "" {
			q = q.Where("webhook_id = ?", f.WebhookID)
		}
	}
	from := source{byID.behind(f.within(q), p, after), byID}
	read := func(looked *gorm.DB) (rows []TestPost, err error) {
		q := f.about(ofTenant(db.Table("(?) AS tests", looked), tenant))
		err = byID.sorted(q, p).Limit(p.Limit + 1).Find(&rows).Error
		return rows, err
	}
	var rows []TestPost
	var end *Mark
	if tenant != "" && f.EventID == "" && f.EventType == "" && f.Status == "" {
		rows, err = read(from.key.sorted(from.rows, p).Limit(p.Limit + 1))
	} else {
		rows, end, err = lookFirst(s, p, []source{from}, noFew, func(_ int, looked *gorm.DB) ([]TestPost, error) { return read(looked) })
	}
	if err != nil {
		return nil, "", err
	}
	rows, next := cutAt(rows, p.Limit, end, func(t TestPost) string { return cursors.next(t.ID) }, cursors.behindID)
	return rows, next, nil
}

// Test reads one test.
func (s *Store) Test(ctx context.Context, tenant, id string) (TestPost, error) {
	var t TestPost
	err := s.db.WithContext(ctx).Take(&t, "tenant = ? AND id = ?", tenant, id).Error
	return t, found(err)
}
