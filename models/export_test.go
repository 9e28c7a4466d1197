package models

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"gorm.io/gorm"
)

// DB lets tests read what no method returns: row counts, planner statistics.
func (s *Store) DB() *gorm.DB { return s.db }

// PostgresConfig is postgresConfig, for tests.
var PostgresConfig = postgresConfig

// IsPostgres reports whether tests run on PostgreSQL.
func (s *Store) IsPostgres() bool { return s.postgres }

// NewIDAhead is NewID with a database clock that is some milliseconds ahead.
var NewIDAhead = newID

// IDsOffset is idsOffset, for tests.
var IDsOffset = idsOffset

// MeasureClock makes the regular clock measurement now.
func (s *Store) MeasureClock(ctx context.Context) error {
	pool, err := s.db.DB()
	if err != nil {
		return err
	}
	return s.clock.measure(ctx, pool)
}

// MigrateLock is migrateLock, for tests.
const MigrateLock = migrateLock

// On returns a copy of the run that continues in a transaction.
func (e *Expiry) On(tx *Store) *Expiry {
	run := *e
	run.store = tx
	return &run
}

// HoldDelivery puts aside one pending delivery whose webhook turned out not to be active when it was to be sent.
func (s *Store) HoldDelivery(ctx context.Context, d *Delivery, status WebhookStatus) error {
	columns := append(slices.Clone(deliveryColumns[:2]), was[Delivery](Pending),
		column[Delivery]{"generation", "bigint", func(d *Delivery) any { return int64(d.Generation) }},
		column[Delivery]{"reason", "text", func(*Delivery) any { return HeldReason(status) }})
	return bulk(ctx, s, []Delivery{*d}, columns, `UPDATE deliveries SET status = 'held', status_reason = v.reason,
		generation = deliveries.generation + 1, next_attempt_at = NULL
		FROM v WHERE deliveries.tenant = v.tenant AND deliveries.id = v.id
		AND deliveries.status = v.was AND deliveries.generation = v.generation`, nil)
}

// CancelDelivery ends one pending delivery that can no longer be made.
func (s *Store) CancelDelivery(ctx context.Context, d *Delivery, reason string) error {
	return s.db.WithContext(ctx).Model(&Delivery{}).
		Where("tenant = ? AND id = ? AND generation = ?", d.Tenant, d.ID, d.Generation).
		Where("status IN ('pending', 'held')").
		Updates(map[string]any{"status": Canceled, "status_reason": reason, "generation": gorm.Expr("generation + 1"),
			"next_attempt_at": nil, "finished_at": s.now()}).Error
}

// PresenceClock sets the clock that measures how long a process has been silent.
func (s *Store) PresenceClock(now func() time.Time) {
	s.presence.now = now
	if s.posting != nil {
		s.posting.now = now
	}
}

// CountedMost is countedMost, for tests.
const CountedMost = countedMost

// Migrations are migrations, for tests.
var Migrations = migrations

// OnlineMark is online, for tests.
const OnlineMark = online

// MigrationText returns the text of a migration.
var MigrationText = migrationText

// Apply applies a migration of a test's.
func (s *Store) Apply(ctx context.Context, id, text string) error {
	return s.migrating(ctx, func(m *migrator) error { return m.apply(ctx, id, text) })
}

// StatementsOf returns a migration's statements on PostgreSQL, without comments before them.
func StatementsOf(text string) []string {
	statements := (&Store{postgres: true}).dialect(text)
	for i := range statements {
		statements[i] = bare(statements[i])
	}
	return statements
}

// ReaderInUse returns how many connections for Read are in use.
func (s *Store) ReaderInUse() int { return s.reader.Pool().InUse }

// ReaderMost returns the largest number of connections for Read.
func (s *Store) ReaderMost() int { return s.reader.Pool().MaxOpenConnections }

// Cursor and ParseCursor write and read a cursor of a list, for tests.
func Cursor(list string, about []string, key ...string) string {
	return cursorsOf(list, about...).next(key...)
}

// ParseCursor reads a cursor.
func ParseCursor(list string, about []string, cursor string, n int) ([]string, error) {
	return cursorsOf(list, about...).parse(cursor, n)
}

// Plain returns the counters without the latencies.
func (c *Counts) Plain() Counts {
	plain := *c
	plain.latency = nil
	return plain
}

// Took counts one delivery that took a number of milliseconds.
func Took(ms int64) (c Counts) {
	c.took(latencyBucket(ms), 1)
	return c
}

// Label stores the labels of existing events.
func (s *Store) Label(ctx context.Context, events []Event) error {
	var labels []eventLabel
	for i := range events {
		labels = append(labels, events[i].labels()...)
		if events[i].ExternalID != "" {
			labels = append(labels, events[i].externalLabel())
		}
	}
	return bulk(ctx, s, labels, labelColumns, labelStatement, nil)
}

// TextBounds are textBounds.
type TextBounds struct {
	Events int
	For    time.Duration
	Now    func() time.Time
}

// EventsWithTextWithin is EventsWithText with other bounds.
func (s *Store) EventsWithTextWithin(ctx context.Context, tenant string, f EventFilter, text string, p Page, most TextBounds) ([]Event, string, bool, error) {
	return s.eventsWithText(ctx, tenant, f, text, p, textBounds{most.Events, most.For, most.Now})
}

// DeliveriesNamedWithin is DeliveriesNamed with other bounds.
func (s *Store) DeliveriesNamedWithin(ctx context.Context, tenant string, f DeliveryFilter, name string, p Page, most TextBounds) ([]Delivery, string, error) {
	return s.deliveriesNamed(ctx, tenant, f, name, p, textBounds{most.Events, most.For, most.Now})
}

// HasNothing is hasNothing.
var HasNothing = hasNothing

// DialPostgres dials as the pools do.
func DialPostgres(ctx context.Context, addr string) (net.Conn, error) {
	config, err := postgresConfig("postgres://posthorn@" + addr + "/posthorn")
	if err != nil {
		return nil, err
	}
	return config.DialFunc(ctx, "tcp", addr)
}

// Looking gives a Store whose lists look at few rows for a page.
func (s *Store) Looking(most int) *Store { return s.looking(most) }

// Later queues a statement over ids.
func (s *Store) Later(ctx context.Context, ids []string, statement string) error {
	return later(ctx, s, ids, idColumns, statement, nil)
}

// AcceptAtOnce runs the statements of acceptNew as a part of a transaction.
func (s *Store) AcceptAtOnce(ctx context.Context, group []*Acceptance) error {
	a := acceptor{Store: s, group: group, results: make([]Accepted, len(group)), first: make([]int, len(group)), isNew: true}
	return errors.Join(a.store(ctx), s.wait(ctx))
}

// RecordAtOnce runs the statements of recordPlain as a part of a transaction.
func (s *Store) RecordAtOnce(ctx context.Context, group []*Record, done []string) error {
	r := recorder{Store: s, group: group, results: make([]Recorded, len(group)), types: make([]string, len(group)), plain: true}
	return errors.Join(r.store(ctx, done), s.wait(ctx))
}

// AlwaysAtOnce lets no refusal keep later groups from being tried at once.
func (s *Store) AlwaysAtOnce() { s.acceptCarefully.pause, s.recordCarefully.pause = 0, 0 }
