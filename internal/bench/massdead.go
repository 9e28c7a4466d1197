package bench

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// threshold is the count of failed receptions at which Posthorn deactivates a webhook, by default.
const threshold = 3000

// stragglers is how long a webhook may still get POSTs that were under way at its deactivation.
const stragglers = 2 * time.Second

// broken refuses everything.
func broken(uint32) int { return http.StatusInternalServerError }

func deadRuns(o MassOptions) (all []massRun) {
	for _, n := range o.Backlogs {
		all = append(all, massRun{"dead, " + Grouped(float64(n)), func(m *mass, ctx context.Context) error { return m.dead(ctx, n) }})
	}
	return all
}

// crowded starts the process that accepts, fills the backlog of a webhook in trouble, and then starts workers into it.
// wait waits for the neighbour's results.
func (m *mass) crowded(ctx context.Context, s *stream, n int) (wait func() heard, err error) {
	beside := m.neighbour()
	if err := m.register(ctx, s, beside.stream); err != nil {
		return nil, err
	}
	if err := m.fill(ctx, s, n); err != nil {
		return nil, err
	}
	if err := m.work(ctx, s); err != nil {
		return nil, err
	}
	return beside.start(ctx), nil
}

// dead lets workers start into a backlog for a webhook that answers 500.
func (m *mass) dead(ctx context.Context, n int) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	s := m.crowd("dead", batchSize)
	h := s.hooks[0]
	h.refuse = broken
	wait, err := m.crowded(ctx, s, n)
	if err != nil {
		return err
	}
	ready := time.Now()
	m.progress.phase("waiting until it is deactivated")
	_, ok := m.waitFor(ctx, 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		status, err := m.target.status(ctx, h)
		return status == "deactivated", err
	})
	seen := time.Now()
	deactivated, held := m.never(), m.never()
	if ok {
		deactivated = fmt.Sprintf("before its %dth POST", threshold)
		if last, reached := h.seen.nth(threshold); reached {
			after := time.Duration(int64(m.ledger.stamp(seen))-int64(last)) * time.Microsecond
			deactivated = fmt.Sprintf("%.1f s; %.1f s after the workers were ready", after.Seconds(), seen.Sub(ready).Seconds())
		}
		m.progress.phase("waiting until all is held")
		if took, all := m.waitFor(ctx, 100*time.Millisecond, func(ctx context.Context) (bool, error) {
			pending, err := m.target.pending(ctx, h)
			return !pending, err
		}); all {
			held = perSecond(n, took)
		}
	}
	m.progress.phase("listening to the neighbour")
	heard := wait()
	m.notef("deactivated after its 3,000th failure", "≤ 2 s", "%s", deactivated)
	m.notef("POSTs to it", "", "%s", Grouped(float64(h.seen.count(0))))
	if ok {
		m.late(ctx, h, "it was deactivated", seen)
	}
	m.notef("until all of it is held", "20,000/s", "%s", held)
	m.heard(heard, mustBeside)
	return nil
}

// late notes how many POSTs began later than stragglers after an act. Such POSTs were not under way at the act.
func (m *mass) late(ctx context.Context, h *hook, act string, at time.Time) {
	sleep(ctx, time.Until(at.Add(2*stragglers)))
	m.notef("POSTs that began later than 2 s after "+act, "0", "%s", Grouped(float64(h.seen.count(m.ledger.stamp(at.Add(stragglers))))))
}

// slow lets workers start into a backlog for a webhook that takes a second for each delivery. flapping does the same
// for one that fails for five seconds in ten.
func (m *mass) slow(ctx context.Context) error {
	return m.poor(ctx, "slow", func(h *hook) { h.delay = time.Second })
}

func (m *mass) flapping(ctx context.Context) error {
	const half = 5e6 // microseconds
	return m.poor(ctx, "flapping", func(h *hook) {
		h.refuse = func(stamp uint32) int {
			if stamp/half%2 == 0 {
				return http.StatusInternalServerError
			}
			return 0
		}
	})
}

func (m *mass) poor(ctx context.Context, name string, receiver func(*hook)) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	s := m.crowd(name, batchSize)
	receiver(s.hooks[0])
	wait, err := m.crowded(ctx, s, m.size.Backlogs[0])
	if err != nil {
		return err
	}
	began := time.Now()
	m.progress.phase("listening to the neighbour")
	heard := wait()
	n := s.hooks[0].seen.count(0)
	m.notef("POSTs to it", "", "%s in %s", Grouped(float64(n)), perSecond(n, time.Since(began)))
	m.heard(heard, mustBeside)
	return nil
}

// perSecond shows how long n took, and how many that were in a second.
func perSecond(n int, took time.Duration) string {
	return fmt.Sprintf("%.1f s, %s/s", took.Seconds(), Grouped(float64(n)/max(took.Seconds(), .001)))
}

// Grouped writes a number with its thousands separated.
func Grouped(f float64) string {
	digits := fmt.Sprintf("%.0f", f)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
