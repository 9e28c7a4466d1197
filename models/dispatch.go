package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MaxDispatch is the most deliveries of one dispatch; it bounds a workflow's input, timers and history.
const MaxDispatch = 256

// Dispatch is an entry of the outbox: the promise that one workflow will drive these deliveries. Its row is deleted
// when the last of them is finished.
type Dispatch struct {
	ID         string
	Deliveries []DeliveryKey `gorm:"serializer:json;not null"`
	CreatedAt  time.Time
	CheckedAt  time.Time
	// Process is the process that has to start its workflow; 0 = unknown.
	Process int64
	// Claimed says that its deliveries name the dispatch. A shared one starts without: see claimshared.go.
	Claimed bool
	// Owed has the deliveries themselves if they are in memory, for the Web UI.
	Owed []Delivery `gorm:"-"`
}

// newDispatch names the dispatch after what it is for, so that it can be found in the Web UI, and after the
// generation, so that it differs from the workflow of an earlier one. Generation 0 is the event's first dispatch.
func (s *Store) newDispatch(name string, generation int, deliveries []Delivery) *Dispatch {
	now := s.now()
	d := &Dispatch{ID: name, CreatedAt: now, CheckedAt: now, Process: s.ProcessID(), Claimed: true, Owed: deliveries}
	if generation > 0 {
		d.ID = fmt.Sprintf("%s/%d", name, generation)
	}
	for _, delivery := range deliveries {
		d.Deliveries = append(d.Deliveries, delivery.Key())
	}
	return d
}

func (s *Store) createDispatch(ctx context.Context, d *Dispatch) error {
	return s.db.WithContext(ctx).Create(d).Error
}

// CreateSharedDispatch writes a dispatch for deliveries that were accepted without one.
func (s *Store) CreateSharedDispatch(ctx context.Context, keys []DeliveryKey) (Dispatch, error) {
	now := s.now()
	d := Dispatch{ID: NewID(PrefixDispatch), Deliveries: keys, CreatedAt: now, CheckedAt: now, Process: s.ProcessID()}
	return d, s.createDispatch(ctx, &d)
}

// HandOver writes a dispatch for the deliveries that first attempts without a dispatch have left over, and records it on
// them. ended are those that have failed for good: they only get its name. A delivery is left alone if it has another
// status than it is given with, or names another dispatch.
func (s *Store) HandOver(ctx context.Context, id string, left, ended []Delivery) (Dispatch, error) {
	d := s.newDispatch(id, 0, left)
	return *d, s.Tx(ctx, func(tx *Store) error {
		if err := tx.Claim(ctx, id, slices.Concat(left, ended)); err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		return tx.insertDispatches(ctx, []Dispatch{*d})
	})
}

// Dispatch reads one entry of the outbox. ErrNotFound if the dispatch is done.
func (s *Store) Dispatch(ctx context.Context, id string) (Dispatch, error) {
	var d Dispatch
	err := s.db.WithContext(ctx).Take(&d, "id = ?", id).Error
	return d, found(err)
}

// Claim records on deliveries which dispatch drives them. They must have the status that they are given with, and name no
// dispatch, or the one that they are given with. Others have been changed or dispatched again in the meantime, and are
// left alone.
func (s *Store) Claim(ctx context.Context, dispatchID string, deliveries []Delivery) error {
	if len(deliveries) == 0 {
		return nil
	}
	columns := append(slices.Clone(deliveryColumns[:2]), column[Delivery]{"was", "text", func(d *Delivery) any { return string(d.Status) }},
		column[Delivery]{"named", "text", func(d *Delivery) any { return d.DispatchID }},
		column[Delivery]{"dispatch_id", "text", func(*Delivery) any { return dispatchID }})
	deliveries = slices.SortedFunc(slices.Values(deliveries), func(a, b Delivery) int { return strings.Compare(a.ID, b.ID) }) // always in the same order
	return s.again(ctx, func() error { return bulk(ctx, s, deliveries, columns, claim, nil) })
}

const claim = `UPDATE deliveries SET dispatch_id = v.dispatch_id FROM v
	WHERE deliveries.tenant = v.tenant AND deliveries.id = v.id AND deliveries.status = v.was AND deliveries.dispatch_id IN ('', v.named)
	AND deliveries.dispatch_id <> v.dispatch_id`

// FinishDispatch removes an outbox entry, unless any of its deliveries is still pending.
func (s *Store) FinishDispatch(ctx context.Context, id string) error {
	p, err := s.Dispatch(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if left, err := s.isLeft(ctx, &p); err != nil || left {
		return err
	}
	return s.db.WithContext(ctx).Exec("DELETE FROM dispatches WHERE id = ?", id).Error
}

// dispatchAnew puts locked deliveries that become pending into new dispatches, as large as the operator allows, each
// with the next generation.
func (s *Store) dispatchAnew(ctx context.Context, rows []Delivery, from schedule) ([]Dispatch, error) {
	return s.dispatchIn(ctx, rows, s.groupMax, from)
}

// schedule is what becomes of a delivery's retry schedule with a new dispatch.
type schedule int

const (
	goesOn    schedule = iota // where it is
	restarts                  // from the first step
	restarted                 // the same, and somebody has asked for the attempt
)

// dispatchIn is dispatchAnew with no more than most deliveries in each dispatch. It takes two statements, however many
// dispatches there are.
func (s *Store) dispatchIn(ctx context.Context, rows []Delivery, most int, from schedule) ([]Dispatch, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	rows = slices.Clone(rows)
	var fresh []Dispatch
	for chunk := range slices.Chunk(rows, most) {
		p := s.newDispatch(NewID(PrefixDispatch), 0, chunk)
		if len(chunk) == 1 {
			p = s.newDispatch(chunk[0].EventID+"/"+chunk[0].ID[len(PrefixDelivery):], chunk[0].Generation+1, chunk)
		}
		for i := range chunk {
			chunk[i].DispatchID = p.ID
		}
		fresh = append(fresh, *p)
	}
	if err := s.insertDispatches(ctx, fresh); err != nil {
		return nil, err
	}
	changes := ""
	switch from {
	case goesOn:
	case restarts:
		changes = "failures = 0, "
	case restarted:
		changes = "failures = 0, asked = attempts + 1, "
	}
	now := s.now()
	columns := append(slices.Clone(deliveryColumns[:2]), column[Delivery]{"dispatch_id", "text", func(d *Delivery) any { return d.DispatchID }},
		column[Delivery]{"now", "timestamptz", func(*Delivery) any { return &now }}, recoveryColumn)
	err := bulk(ctx, s, rows, columns, `UPDATE deliveries SET `+changes+`dispatch_id = v.dispatch_id, generation = generation + 1,
		status = 'pending', status_reason = '', finished_at = NULL, next_attempt_at = v.now,
		recovery_id = COALESCE(NULLIF(v.recovery, ''), recovery_id)
		FROM v WHERE deliveries.tenant = v.tenant AND deliveries.id = v.id`, nil)
	return fresh, err
}

// isLeft reports whether any of a dispatch's deliveries is pending and still its own. Once none is left, none ever
// will be: a delivery that becomes pending again gets a new dispatch.
func (s *Store) isLeft(ctx context.Context, p *Dispatch) (bool, error) {
	rows, err := s.DeliveriesByID(ctx, p.Deliveries)
	return slices.ContainsFunc(rows, func(d Delivery) bool { return d.LeftOf(p.ID) }), err
}

// redispatchDue is how soon a delivery must be due for Redispatch to move it: it has just been created, or made due.
const redispatchDue = time.Minute

// Redispatch moves the rest of a dispatch into new ones, for the caller to start, and removes it, because another
// workflow has its id. Deliveries that are locked or have changed are left to the reconciler.
func (s *Store) Redispatch(ctx context.Context, id string) ([]Dispatch, error) {
	p, err := s.Dispatch(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rows, err := s.DeliveriesByID(ctx, p.Deliveries)
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(d Delivery) bool { return !d.LeftOf(id) })
	fresh, err := s.TakeOver(ctx, rows, s.now().Add(redispatchDue), s.groupMax)
	if err != nil {
		return nil, err
	}
	return fresh, s.ForgetDispatches(ctx, []string{id})
}

var dispatchColumns = []column[Dispatch]{
	{"id", "text", func(d *Dispatch) any { return d.ID }},
	{"deliveries", "text", func(d *Dispatch) any { return jsonText(d.Deliveries) }},
	{"created_at", "timestamptz", func(d *Dispatch) any { return timeOf(d.CreatedAt) }},
	{"process", "bigint", func(d *Dispatch) any { return d.Process }},
}

// insertDispatches stores dispatches that their deliveries name. One may be named after its event: the entry of an
// earlier event with that name, which went with its tenant, may still exist.
func (s *Store) insertDispatches(ctx context.Context, dispatches []Dispatch) error {
	return later(ctx, s, dispatches, dispatchColumns, `INSERT INTO dispatches (id, deliveries, created_at, checked_at, process, claimed)
		SELECT id, deliveries, v.created_at, created_at, NULLIF(process, 0), true FROM v WHERE true ON CONFLICT (id) DO UPDATE SET
		deliveries = excluded.deliveries, created_at = excluded.created_at, checked_at = excluded.checked_at,
		process = excluded.process, claimed = true`, nil)
}
