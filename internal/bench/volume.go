package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
)

// VolumeName is the scenario of a large database: its size, its speed, and how fast the retention and vacuum are. It takes
// tens of gigabytes and most of an hour, so it runs only when it is asked for.
const VolumeName = "volume"

// VolumeStage is a ConsoleStage whose database can be measured, cleaned and vacuumed.
type VolumeStage interface {
	ConsoleStage
	// Tables returns the sizes of the large tables.
	Tables(ctx context.Context) ([]Table, error)
	// Expire runs the retention's steps for deliveries that finished before a time, until nothing is left or ctx ends.
	Expire(ctx context.Context, before time.Time) (Expired, error)
	// Vacuum vacuums one table and updates its statistics.
	Vacuum(ctx context.Context, table string) error
}

// Table is the size of one table.
type Table struct {
	Name           string
	Rows           int64 // live ones, as PostgreSQL estimates
	Heap, Indexes  int64 // in bytes; Heap is with values that are stored apart
	LargestIndexes string
}

// Expired is what a run of the retention did.
type Expired struct {
	Deliveries, Rows int64
	Steps            int
	Slowest          time.Duration // step
}

const (
	// volumeTimes is how many times as much is stored as in the other scenarios that fill a database.
	volumeTimes = 10
	// volumeEvents is how many events are published for the rate before and after, and volumeCallers by how many.
	volumeEvents  = 30_000
	volumeCallers = 64
	// volumePart is the part of what is stored that expires with nothing beside, and again beside a neighbour.
	volumePart = 20
	// dayOf is how many deliveries a second are ten million a day.
	dayOf = 10_000_000 / (24 * 60 * 60)
)

// Volume measures a Posthorn with volumeTimes × size.Stored deliveries.
func Volume(ctx context.Context, o Options, size MassOptions, stage VolumeStage) ([]Figure, error) {
	m := &mass{run: run{o: o, name: VolumeName}, stage: stage, size: size, part: VolumeName, id: strings.ToLower(rand.Text()[:8])}
	err := m.perform(ctx, func(m *mass, ctx context.Context) error { return m.volume(ctx, stage) })
	return m.figures, err
}

func (m *mass) volume(ctx context.Context, stage VolumeStage) error {
	n := volumeTimes * m.size.Stored
	m.o.Payload, m.part = storedPayload, "empty"
	s, err := m.firstOfMany(ctx, stage)
	if err != nil {
		return err
	}
	if err := m.speed(ctx, s); err != nil {
		return err
	}

	m.part = Grouped(float64(n)) + " deliveries"
	m.progress.phase("storing deliveries")
	began := time.Now()
	if err := stage.Fill(ctx, s.hooks[0].id, n); err != nil {
		return err
	}
	m.notef("stored by SQL in", "", "%s", time.Since(began).Round(time.Second))
	if err := m.tables(ctx, stage); err != nil {
		return err
	}
	if err := m.speed(ctx, s); err != nil {
		return err
	}
	if err := m.pages(ctx, s); err != nil {
		return err
	}

	m.part = "retention"
	upTo := func(part int) time.Time {
		return began.Add(-FillPeriod).Add(time.Duration(part) * FillPeriod / volumePart)
	}
	if err := m.expire(ctx, stage, upTo(1), "a twentieth expires"); err != nil {
		return err
	}
	m.progress.phase("expiring beside a neighbour")
	stop := (&neighbour{m, s}).during(ctx)
	err = m.expire(ctx, stage, upTo(2), "another twentieth, beside 5 events a second")
	m.heard(stop(), "")
	if err != nil {
		return err
	}
	for _, table := range []string{"attempts", "deliveries", "events"} {
		m.progress.phase("vacuum of " + table)
		began := time.Now()
		if err := stage.Vacuum(ctx, table); err != nil {
			return err
		}
		m.notef("VACUUM (ANALYZE) "+table, "", "%s", time.Since(began).Round(100*time.Millisecond))
	}
	return m.tables(ctx, stage)
}

// firstOfMany starts a Posthorn with size.Webhooks webhooks and one delivery, of which the stored ones are copies.
func (m *mass) firstOfMany(ctx context.Context, stage ConsoleStage) (*stream, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	s := m.crowd(m.name, 1)
	if err := m.register(ctx, s); err != nil {
		return nil, err
	}
	h := s.hooks[0]
	m.progress.phase("storing webhooks")
	if err := stage.Widen(ctx, h.id, m.size.Webhooks, m.sink.url(h.index)+"/", s.eventType+".not"); err != nil {
		return nil, err
	}
	if err := m.work(ctx); err != nil {
		return nil, err
	}
	if err := m.closedLoop(ctx, s, 1, m.size.Watch, 1); err != nil {
		return nil, err
	}
	if _, ok := m.waitFor(ctx, askFirst, func(ctx context.Context) (bool, error) {
		n, _, err := m.target.page(ctx, h, "delivered", 1, "")
		return n > 0, err
	}); !ok {
		return nil, errors.New("the first event was not delivered")
	}
	return s, nil
}

// speed measures quiet events, and the rate of a crowd.
func (m *mass) speed(ctx context.Context, s *stream) error {
	m.progress.follow(s)
	m.progress.phase("quiet events")
	m.heard((&neighbour{m, s}).publish(ctx, m.size.Load/2), "")
	m.progress.phase("a crowd")
	h := s.hooks[0]
	before, began := h.received.Load(), time.Now()
	if err := m.closedLoop(ctx, s, volumeCallers, m.size.Watch, volumeEvents); err != nil {
		return err
	}
	accepted := time.Since(began)
	if _, ok := m.waitFor(ctx, askLast, func(context.Context) (bool, error) { return h.received.Load()-before >= volumeEvents, nil }); !ok {
		return errors.New("the crowd's events were not all delivered")
	}
	m.notef("64 callers: accepted, delivered", "", "%s, %s", perSecond(volumeEvents, accepted), perSecond(volumeEvents, time.Since(began)))
	return nil
}

// tables notes the sizes of the tables, all together for each delivery.
func (m *mass) tables(ctx context.Context, stage VolumeStage) error {
	tables, err := stage.Tables(ctx)
	if err != nil {
		return err
	}
	const gib = 1 << 30
	var whole, deliveries int64
	for _, t := range tables {
		whole += t.Heap + t.Indexes
		if t.Name == "deliveries" {
			deliveries = t.Rows
		}
		m.notef("table "+t.Name, "", "%s rows, %.2f GiB, and indexes of %.2f GiB: %s", Grouped(float64(t.Rows)), float64(t.Heap)/gib, float64(t.Indexes)/gib, t.LargestIndexes)
	}
	m.notef("all of them; for each delivery", "", "%.1f GiB; %s bytes", float64(whole)/gib, Grouped(float64(whole)/float64(max(1, deliveries))))
	return nil
}

// pages notes how fast each page is.
func (m *mass) pages(ctx context.Context, s *stream) error {
	v := &visitor{target: m.target}
	if err := v.signIn(ctx); err != nil {
		return err
	}
	pages, err := m.consolePages(ctx, s.hooks[0], s.eventType)
	if err != nil {
		return err
	}
	m.progress.phase("getting pages")
	for _, p := range pages {
		if err := m.getPage(ctx, v, p); err != nil {
			return err
		}
	}
	return nil
}

// expire notes how fast the retention removes what finished before a time.
func (m *mass) expire(ctx context.Context, stage VolumeStage, before time.Time, what string) error {
	m.progress.phase(what)
	began := time.Now()
	e, err := stage.Expire(ctx, before)
	if err != nil {
		return err
	}
	took := time.Since(began)
	m.notef(what, fmt.Sprintf("%d/s is 10,000,000 a day", dayOf), "%s deliveries, %s rows: %s; %d steps, slowest %s",
		Grouped(float64(e.Deliveries)), Grouped(float64(e.Rows)), perSecond(int(e.Deliveries), took), e.Steps, short(e.Slowest))
	return nil
}
