//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// runner makes the faults of a run.
type runner struct {
	*Options
	schedule *schedule
	state    *os.File
	lines    []Line
	end      time.Time // no fault begins after it; zero = never
	next     int       // number of the next fault
}

// partFaults is how many faults one installation goes through before a new one takes its place. This limits its stored
// data.
const partFaults = 200

// Run makes the faults and returns all lines of the run, including those of earlier parts. If a promise was broken, the
// error says so, and the lines have the histories.
func Run(ctx context.Context, o Options) (lines []Line, err error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	r := &runner{Options: &o}
	if r.state, r.lines, err = openState(&o); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.state.Close()) }()
	if r.schedule, err = newSchedule(o.Seed, o.Kinds); err != nil {
		return nil, err
	}
	if err := r.fits(); err != nil {
		return nil, err
	}
	r.sayf("seed %d", o.Seed)
	for i := range r.lines {
		r.next = max(r.next, r.lines[i].Number+1)
	}
	if o.Duration > 0 {
		r.end = time.Now().Add(o.Duration)
	}
	for ctx.Err() == nil && r.more() {
		if err := r.part(ctx); err != nil {
			return r.lines, err
		}
	}
	if slices.ContainsFunc(r.lines, func(l Line) bool { return !l.kept(o.RecoverWithin) }) {
		return r.lines, ErrBroken
	}
	return r.lines, ctx.Err()
}

func (r *runner) more() bool {
	return (r.Faults == 0 || r.next < r.Faults) && (r.end.IsZero() || time.Now().Before(r.end))
}

// part is an installation and its share of the faults.
type part struct {
	*runner
	stage   *stage
	load    *load
	windows []window
}

// part starts an installation and makes faults on it, until its share is done or it does not recover.
func (r *runner) part(ctx context.Context) (err error) {
	p := &part{runner: r}
	kept := true
	p.stage, err = newStage(ctx, r.Options)
	defer func() {
		if err != nil && ctx.Err() == nil {
			kept = false
		}
		if !kept {
			r.sayf("the logs are in %s", p.stage.dir)
		}
		err = errors.Join(err, p.stage.close(!kept))
	}()
	if err != nil {
		return fmt.Errorf("bring up an installation: %w", err)
	}
	p.stage.receivers.calm.Store(true)
	p.load = startLoad(ctx, p.stage, r.Rate, r.Seed+uint64(r.next)) //nolint:gosec // A number that differs from part to part.
	defer p.load.end()
	if _, _, err := p.recovered(ctx, "first", time.Now()); err != nil {
		return fmt.Errorf("nothing is delivered before the first fault: %w", err)
	}
	steady := true
	for made := 0; steady && made < partFaults && r.more(); made++ {
		line, ok, err := p.one(ctx, r.next)
		if err != nil {
			return err
		}
		r.next++
		steady = ok
		kept = kept && line.kept(p.RecoverWithin)
		if err := p.keep(line); err != nil {
			return err
		}
	}
	if !steady {
		return nil
	}
	line, err := p.finish(ctx)
	if err != nil {
		return err
	}
	kept = kept && line.kept(p.RecoverWithin)
	return p.keep(line)
}

// keep writes a line to the state file and to the progress.
func (p *part) keep(line *Line) error {
	p.lines = append(p.lines, *line)
	p.sayf("%s", line)
	return appendLine(p.state, line)
}

func (r *runner) sayf(format string, values ...any) {
	if r.Progress != nil {
		_, _ = fmt.Fprintf(r.Progress, format+"\n", values...)
	}
}

const (
	// unrest is how long receivers fail before a fault, so that some deliveries wait for their retries.
	leastUnrest, mostUnrest = 500 * time.Millisecond, 1500 * time.Millisecond
	// stagger is the time between the beginnings of simultaneous faults.
	stagger = 1500 * time.Millisecond
	// long is the time after which a recovery notes what it is waiting for.
	long = 10 * time.Second
	// patience is the longest recovery. A delivery that is still missing then is stuck.
	patience = 5 * time.Minute
	// lookAhead is how many faults before its setting back Temporal's database is copied.
	lookAhead = 6
	// setBackBy is the least time by which the database is set back. copyLife is the age at which a copy is replaced.
	setBackBy, copyLife = time.Minute, 5 * time.Minute
)

// one makes one fault and checks its result. ok = the installation has recovered.
func (p *part) one(ctx context.Context, n int) (line *Line, ok bool, err error) {
	if err := p.copies(ctx, n); err != nil {
		return nil, false, err
	}
	kind, dice := p.schedule.kind(n), p.schedule.dice(n)
	faults := kind.plan(dice)
	line = &Line{Number: n, Seed: p.Seed, Kind: kind.name}
	var delays []time.Duration
	for i, f := range faults {
		delays = append(delays, 0)
		if i > 0 {
			line.About += "; "
			delays[i] = between(dice, 0, stagger)
		}
		line.About += f.about
	}
	if kind.name == setBackKind {
		line.About += fmt.Sprintf(" by %s", time.Since(p.stage.postgres.copied).Round(time.Second))
	}
	p.stage.receivers.calm.Store(false)
	if !sleep(ctx, between(dice, leastUnrest, mostUnrest)) {
		return nil, false, ctx.Err()
	}
	line.Begun = time.Now().UTC()
	from, err := p.inject(ctx, faults, delays)
	if ctx.Err() != nil {
		return nil, false, ctx.Err()
	}
	if err != nil {
		line.Problem = err.Error()
	}
	line.Lasted = from.Sub(line.Begun).Seconds()
	if kind.name == "full disk" {
		line.Disk = p.stage.postgres.disk.about()
	}
	ok = p.judge(ctx, line, fmt.Sprint(n), from)
	return line, ok, ctx.Err()
}

// inject makes the faults and undoes them. It returns the time from which the recovery counts.
func (p *part) inject(ctx context.Context, faults []fault, delays []time.Duration) (from time.Time, err error) {
	var (
		working sync.WaitGroup
		mu      sync.Mutex
	)
	for i, f := range faults {
		working.Go(func() {
			sleep(ctx, delays[i])
			w := window{about: f.about, from: time.Now(), lasting: f.lasting}
			beginErr := f.begin(ctx, p.stage)
			over := time.Now()
			if !f.instant {
				sleep(ctx, f.length)
			}
			if f.instant && len(faults) == 1 {
				p.stage.receivers.calm.Store(true)
			}
			endErr := f.end(ctx, p.stage)
			w.to = time.Now()
			if !f.instant {
				over = w.to
			}
			mu.Lock()
			defer mu.Unlock()
			if !f.clean {
				p.windows = append(p.windows, w)
			}
			if over.After(from) {
				from = over
			}
			err = errors.Join(err, beginErr, endErr)
		})
	}
	working.Wait()
	p.stage.receivers.calm.Store(true)
	return from, err
}

// judge waits for the recovery, audits, and fills in the line. It reports whether the installation has recovered.
func (p *part) judge(ctx context.Context, line *Line, name string, from time.Time) bool {
	var problems error
	a := audit{stage: p.stage, before: from, windows: p.windows}
	took, waited, err := p.recovered(ctx, name, from)
	line.Recovery = took.Seconds()
	for i := range p.windows {
		if w := &p.windows[i]; w.lasting {
			w.to, w.lasting = from.Add(took), false
		}
	}
	if took > long {
		line.Waited = waited
	}
	if err != nil {
		line.Recovery = -1
		line.Stuck = p.stage.ledger.undelivered(from)
		problems = fmt.Errorf("not recovered: %w", err)
		line.Histories = a.overdue(ctx, mostHistories)
	} else {
		problems = errors.Join(a.run(ctx, line), p.stage.ready(ctx))
	}
	problems = errors.Join(problems, p.load.failure())
	line.Accepted, line.Unknown, line.Posts = p.stage.ledger.take()
	if problems != nil && ctx.Err() == nil {
		line.Problem = errors.Join(errors.New(line.Problem), problems).Error()
	}
	return problems == nil && line.Stuck == 0 && line.Lost == 0
}

// recovered waits until everything that was accepted before a time is delivered and recorded, and an event published
// through each API arrives within a second. It returns how long after that time this was, and for a long recovery, what
// it was waiting for.
func (p *part) recovered(ctx context.Context, name string, from time.Time) (took time.Duration, waited string, err error) {
	tries := 0
	look := func(ctx context.Context) error {
		if n := p.stage.ledger.undelivered(from); n > 0 {
			return fmt.Errorf("%d accepted pairs have not been received", n)
		}
		for _, tenant := range tenants {
			left, err := p.stage.api.pending(ctx, tenant, from)
			if err != nil {
				return err
			}
			if len(left) > 0 {
				return fmt.Errorf("delivery %s of event %s is pending", left[0].ID, left[0].EventID)
			}
		}
		tries++
		return p.stage.probe(ctx, fmt.Sprintf("%s-%d", name, tries))
	}
	err = until(ctx, patience, func(ctx context.Context) error {
		err := look(ctx)
		if err != nil && (waited == "" || time.Since(from) < long) {
			waited = err.Error()
			if time.Since(from) > long-2*lookEvery {
				a := audit{stage: p.stage, before: from, windows: p.windows}
				waited += "\n" + strings.Join(a.overdue(ctx, 2), "")
			}
		}
		return err
	})
	return time.Since(from), waited, err
}

// copies makes a copy of Temporal's database when one will soon be needed. When it is needed, copies waits until it is
// a minute old.
func (p *part) copies(ctx context.Context, n int) error {
	needed := -1
	for ahead := lookAhead; ahead >= 0; ahead-- {
		if p.schedule.kind(n+ahead).name == setBackKind {
			needed = ahead
		}
	}
	if needed < 0 {
		return nil
	}
	if time.Since(p.stage.postgres.copied) > copyLife {
		if err := p.stage.withoutTemporal(ctx, p.stage.postgres.copyTemporal); err != nil {
			return fmt.Errorf("copy Temporal's database: %w", err)
		}
		p.windows = append(p.windows, window{about: "Temporal's database copied", from: p.stage.postgres.copied.Add(-copyTook), to: time.Now()})
		if _, _, err := p.recovered(ctx, fmt.Sprintf("copy-%d", n), time.Now()); err != nil {
			return fmt.Errorf("after Temporal's database was copied: %w", err)
		}
	}
	if needed == 0 {
		sleep(ctx, setBackBy-time.Since(p.stage.postgres.copied))
	}
	return ctx.Err()
}

// copyTook is more than stopping Temporal and copying its database takes.
const copyTook = 30 * time.Second

// finish stops publishing, waits until everything is delivered, and audits the pairs that no fault's audit has checked.
func (p *part) finish(ctx context.Context) (*Line, error) {
	p.load.end()
	line := &Line{Number: p.next - 1, Seed: p.Seed, Kind: noFault, About: "publishing stopped", Begun: time.Now().UTC()}
	p.judge(ctx, line, fmt.Sprintf("last-%d", p.next), time.Now())
	return line, ctx.Err()
}
