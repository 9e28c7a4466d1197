package models

import (
	"context"
	"time"
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
// about labels and attempts: a test has no labels, and exactly one attempt.
func (s *Store) Tests(ctx context.Context, tenant string, f DeliveryFilter, p Page) ([]TestPost, string, error) {
	order, behind := p.descending()
	q := ofTenant(s.db.WithContext(ctx), tenant).Order("id" + order).Limit(p.Limit + 1)
	q = f.narrow(q)
	cursors := cursorsOf(listTests, tenant, f.WebhookID, f.EventID, f.EventType, string(f.Status), boundText(f.Since), boundText(f.Until))
	key, err := p.begin(cursors, 1)
	if err != nil {
		return nil, "", err
	}
	if key != nil {
		q = q.Where("id"+behind+"?", key[0])
	}
	var rows []TestPost
	if err := q.Find(&rows).Error; err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, p.Limit, func(t TestPost) string { return cursors.next(t.ID) })
	return rows, next, nil
}

// Test reads one test.
func (s *Store) Test(ctx context.Context, tenant, id string) (TestPost, error) {
	var t TestPost
	err := s.db.WithContext(ctx).Take(&t, "tenant = ? AND id = ?", tenant, id).Error
	return t, found(err)
}
