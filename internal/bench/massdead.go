package bench

import (
	"context"
	"fmt"
	"time"
)

// threshold is the count of failed receptions at which Posthorn deactivates a webhook, by default.
const threshold = 3000

// stragglers is how long after its deactivation a webhook may still get POSTs that were under way.
const stragglers = 2 * time.Second

func deadRuns(o MassOptions) (all []massRun) {
	for _, n := range o.Backlogs {
		all = append(all, massRun{"dead, " + grouped(float64(n)), func(m *mass, ctx context.Context) error { return m.dead(ctx, n) }})
	}
	return all
}

// dead lets workers start into a backlog for a webhook that answers 500.
func (m *mass) dead(ctx context.Context, n int) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	s, beside := m.crowd("dead", batchSize), m.neighbour()
	h := s.hooks[0]
	h.fails = func(uint32) bool { return true }
	if err := m.register(ctx, s, beside.stream); err != nil {
		return err
	}
	if err := m.fill(ctx, s, n); err != nil {
		return err
	}
	if err := m.stage.Work(ctx); err != nil {
		return err
	}
	ready := time.Now()
	quiet := beside.start(ctx)
	m.progress.phase("waiting until it is deactivated")
	_, ok := m.waitFor(ctx, 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		status, err := m.target.status(ctx, h)
		return status == "deactivated", err
	})
	seen := time.Now()
	deactivated, held, late := m.never(), m.never(), "–"
	if ok {
		if third, reached := h.seen.nth(threshold); reached {
			after := time.Duration(int64(m.ledger.stamp(seen))-int64(third)) * time.Microsecond
			deactivated = fmt.Sprintf("%.1f s; %.1f s after the workers were ready", after.Seconds(), seen.Sub(ready).Seconds())
		} else {
			deactivated = fmt.Sprintf("before its %dth POST", threshold)
		}
		m.progress.phase("waiting until all is held")
		took, through := m.waitFor(ctx, 100*time.Millisecond, func(ctx context.Context) (bool, error) {
			pending, err := m.target.pending(ctx, h)
			return !pending, err
		})
		if through {
			held = fmt.Sprintf("%.1f s, %s/s", took.Seconds(), grouped(float64(n)/took.Seconds()))
		}
	}
	m.progress.phase("listening to the neighbour")
	b := <-quiet
	if ok {
		sleep(ctx, time.Until(seen.Add(2*stragglers)))
		late = grouped(float64(h.seen.count(m.ledger.stamp(seen.Add(stragglers)))))
	}
	m.note("deactivated after its 3,000th failure", "≤ 2 s", "%s", deactivated)
	m.note("POSTs made to it", "", "%s", grouped(float64(h.seen.count(0))))
	m.note("POSTs that began later than 2 s after it was deactivated", "0", "%s", late)
	m.note("until all of it is held", "20,000/s", "%s", held)
	m.heard(b, mustBeside)
	return nil
}

// grouped shows a number with its thousands apart.
func grouped(f float64) string {
	digits := fmt.Sprintf("%.0f", f)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
