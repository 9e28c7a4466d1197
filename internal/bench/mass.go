package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MassOptions say which parts of mass are run, and how large they are.
type MassOptions struct {
	// Parts are run in the order of MassParts; none = all.
	Parts    []string
	Backlogs []int // deliveries that wait for a dead webhook when the workers start, one run for each
	Stored   int   // deliveries stored before an act on all of them
	Webhooks int   // of the wide tenant; half of them subscribe to the one event
	// Load is how long the neighbour publishes; Watch limits every wait.
	Load, Watch time.Duration
}

// DefaultMass is mass at its full size.
func DefaultMass() MassOptions {
	return MassOptions{Backlogs: []int{50_000, 200_000}, Stored: 1_000_000, Webhooks: 100_000, Load: time.Minute, Watch: 2 * time.Minute}
}

// Scaled returns the options at a part of their size. Times shrink less than sizes, so that waits stay meaningful.
func (o MassOptions) Scaled(scale float64) MassOptions {
	size := func(n int) int { return max(batchSize, int(scale*float64(n))/batchSize*batchSize) }
	o.Backlogs = slices.Clone(o.Backlogs)
	for i := range o.Backlogs {
		o.Backlogs[i] = max(2*threshold, size(o.Backlogs[i])) // enough to be deactivated for
	}
	o.Stored, o.Webhooks = size(o.Stored), size(o.Webhooks)
	o.Load = min(o.Load, max(10*time.Second, time.Duration(scale*float64(o.Load))))
	o.Watch = min(o.Watch, max(30*time.Second, time.Duration(scale*float64(o.Watch))))
	return o
}

// Stage starts Posthorn for a part of mass: first the process that accepts, later the workers.
type Stage interface {
	// Begin starts a Posthorn with its own databases that accepts and does not send. settings are further environment
	// variables.
	Begin(ctx context.Context, settings ...string) error
	// Work starts the workers, and returns when they are ready to send.
	Work(ctx context.Context) error
	// End stops it and removes its databases.
	End(ctx context.Context)

	URL() string
	Processes() []Process
	Metrics() []string
	Storage
}

// Storage does with the stage's database what the API cannot do a million times. For a Posthorn that is already in use,
// its errors are ErrInUse.
type Storage interface {
	// Store adds n pending deliveries like the newest of the webhook, each with its own event with the next sequence
	// number. They are due after due, or are overdue if it is negative.
	Store(ctx context.Context, webhook string, n, first int, due time.Duration) error
	// Widen adds n webhooks like this one for an event type. Each has its number after the URL.
	Widen(ctx context.Context, webhook string, n int, url, eventType string) error
	// Left reports whether the webhook has deliveries with one of these standings, or any deliveries if none are given.
	Left(ctx context.Context, webhook string, ways ...Standing) (bool, error)
	// Count counts the webhook's deliveries with a status.
	Count(ctx context.Context, webhook, status string) (int, error)
	// Transactions returns the numbers of transactions in Posthorn's database and in Temporal's.
	Transactions(ctx context.Context) (ours, engines int64, err error)
}

// Standing is a delivery's status and, where Reason is not empty, its status_reason.
type Standing struct{ Status, Reason string }

var (
	pending     = Standing{Status: "pending"}
	held        = Standing{Status: "held"}
	heldByPause = Standing{"held", "webhook paused"}
)

// ErrInUse is returned for actions that are allowed only on a database that is thrown away afterwards.
var ErrInUse = errors.New("it is measured only by make bench, which has a database of its own to fill")

// Figure is one line of the results of a part of mass.
type Figure struct {
	Part string `json:"part"` // with its size
	What string `json:"what"`
	Must string `json:"must,omitempty"`
	Got  string `json:"got"`
}

// mass is the run of one part.
type mass struct {
	run

	stage   Stage
	size    MassOptions
	part    string
	id      string
	types   []string // event types made
	figures []Figure
}

// massPart is a part of mass: a run, or several of different sizes.
type massPart struct {
	name string
	runs func(o MassOptions) []massRun
}

type massRun struct {
	name string
	run  func(*mass, context.Context) error
}

func once(name string, run func(*mass, context.Context) error) func(MassOptions) []massRun {
	return func(MassOptions) []massRun { return []massRun{{name, run}} }
}

// besideOrNot runs a part first alone, for its rates, and then beside the neighbour.
func besideOrNot(name string, run func(m *mass, ctx context.Context, beside bool) error) func(MassOptions) []massRun {
	return func(MassOptions) []massRun {
		return []massRun{
			{name, func(m *mass, ctx context.Context) error { return run(m, ctx, false) }},
			{name + ", with a neighbour", func(m *mass, ctx context.Context) error { return run(m, ctx, true) }},
		}
	}
}

var massParts = []massPart{
	{"quiet", once("quiet", (*mass).quiet)},
	{"dead", deadRuns},
	{"slow", once("slow", (*mass).slow)},
	{"flapping", once("flapping", (*mass).flapping)},
	{"gone", besideOrNot("gone", (*mass).gone)},
	{"hold", besideOrNot("hold", (*mass).hold)},
	{"tenant", besideOrNot("tenant", (*mass).tenant)},
	{"wide", once("wide", (*mass).wide)},
	{"outage", outageRuns},
	{"cheap", once("cheap", (*mass).cheap)},
}

// MassParts returns the names of the parts, in the order in which they run.
func MassParts() (names []string) {
	for _, p := range massParts {
		names = append(names, p.name)
	}
	return names
}

// Mass runs the parts of mass. A part that fails says so in its figures, and the others still run.
func Mass(ctx context.Context, o Options, size MassOptions, stage Stage) ([]Figure, error) {
	for _, name := range size.Parts {
		if !slices.Contains(MassParts(), name) {
			return nil, fmt.Errorf("mass has no part %q", name)
		}
	}
	var figures []Figure
	for _, p := range massParts {
		if len(size.Parts) > 0 && !slices.Contains(size.Parts, p.name) {
			continue
		}
		for _, r := range p.runs(size) {
			m := &mass{run: run{o: o, name: r.name}, stage: stage, size: size, part: r.name, id: strings.ToLower(rand.Text()[:8])}
			if err := m.perform(ctx, r.run); err != nil {
				m.notef("went wrong", "", "%v", err)
			}
			if ctx.Err() != nil {
				return figures, ctx.Err()
			}
			figures = append(figures, m.figures...)
		}
	}
	return figures, nil
}

// perform runs a part between the receiver's start and its end.
func (m *mass) perform(ctx context.Context, run func(*mass, context.Context) error) (err error) {
	m.ledger = newLedger()
	if m.sink, err = listen(ctx, m.o.Receiver); err != nil {
		return err
	}
	defer m.sink.close()
	m.progress = startProgress(m.o.Progress, m.name)
	defer m.progress.stop()
	defer m.stage.End(context.WithoutCancel(ctx))
	if m.inUse() && !m.o.Keep {
		defer m.clear(context.WithoutCancel(ctx))
	}
	return run(m, ctx)
}

// clear deletes the tenants and event types of a part.
func (m *mass) clear(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*manageTimeout)
	defer cancel()
	for _, tenant := range m.tenants {
		_ = m.target.deleteTenant(ctx, tenant)
	}
	for _, name := range m.types {
		_ = m.target.deleteEventType(ctx, name)
	}
}

func (m *mass) notef(what, must, format string, values ...any) {
	m.figures = append(m.figures, Figure{m.part, what, must, fmt.Sprintf(format, values...)})
}

// begin starts the process that accepts.
func (m *mass) begin(ctx context.Context, settings ...string) error {
	m.progress.phase("bringing it up")
	if err := m.stage.Begin(ctx, settings...); err != nil {
		return err
	}
	var err error
	m.target, err = newTarget(m.stage.URL(), m.o.AdminKey)
	return err
}

// register makes the streams' tenants, event types and webhooks, and begins to receive. It is called once.
func (m *mass) register(ctx context.Context, streams ...*stream) error {
	m.sink.serve(m.ledger)
	for _, s := range streams {
		if err := m.target.putEventType(ctx, s.eventType); err != nil {
			return err
		}
		m.types = append(m.types, s.eventType)
		for _, h := range s.hooks {
			if !slices.Contains(m.tenants, h.tenant) {
				m.tenants = append(m.tenants, h.tenant)
			}
			if err := m.target.putTenant(ctx, h.tenant); err != nil {
				return err
			}
			var err error
			if h.id, err = m.target.createWebhook(ctx, h.tenant, m.sink.url(h.index), s.eventType, h.limits); err != nil {
				return err
			}
		}
	}
	return nil
}

// crowd is the stream of a tenant whose webhook is in trouble.
func (m *mass) crowd(name string, batch int) *stream {
	s := m.streamIn([]string{"bench-" + m.id + "-" + name}, "bench."+m.id+"."+name, 1, batch, 0, 0)
	s.hooks[0].retry, s.hooks[0].seen.timed = map[string]any{}, true
	return s
}

// work starts the workers. They begin with the stored deliveries of the streams.
func (m *mass) work(ctx context.Context, streams ...*stream) error {
	m.progress.phase("starting what sends")
	if err := m.stage.Work(ctx); err != nil || !m.inUse() {
		return err
	}
	for _, s := range streams {
		for _, h := range s.hooks {
			if err := m.target.resume(ctx, h); err != nil {
				return err
			}
		}
	}
	return nil
}

// inUse reports whether Posthorn is already running, so that it cannot be kept from sending.
func (m *mass) inUse() bool {
	_, yes := m.stage.(running)
	return yes
}

// fill publishes n events of a stream through the API.
func (m *mass) fill(ctx context.Context, s *stream, n int) error {
	if m.inUse() {
		for _, h := range s.hooks {
			if err := m.target.pause(ctx, h); err != nil {
				return err
			}
		}
	}
	m.progress.follow(s)
	m.progress.phase("accepting a backlog")
	began := time.Now()
	if err := m.closedLoop(ctx, s, batchCallers, maxDuration, int64(n)); err != nil {
		return err
	}
	if accepted := s.accepted.Load(); accepted < int64(n) {
		return fmt.Errorf("%d of %d events were accepted", accepted, n)
	}
	m.notef("accepted by the API alone", "", "%s/s", Grouped(float64(n)/time.Since(began).Seconds()))
	return nil
}

// errWatch ends a wait that has reached its limit.
var errWatch = errors.New("watched long enough")

// waitFor asks until the answer is yes, and returns how long that took; never if it was not yes in time. An error of
// ask counts as no, because Posthorn may be too busy to answer.
func (m *mass) waitFor(ctx context.Context, every time.Duration, ask func(ctx context.Context) (bool, error)) (took time.Duration, ok bool) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, m.size.Watch, errWatch)
	defer cancel()
	for {
		if yes, err := ask(ctx); err == nil && yes {
			return time.Since(began), true
		}
		if !sleep(ctx, every) {
			return time.Since(began), false
		}
	}
}

func (m *mass) never() string { return fmt.Sprintf("never (watched %.0f s)", m.size.Watch.Seconds()) }
