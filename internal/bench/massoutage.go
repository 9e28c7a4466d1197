package bench

import (
	"context"
	"fmt"
	"time"
)

// halves is the least duration of a run whose two halves are compared.
const halves = 10 * time.Second

func outageRuns(o MassOptions) []massRun {
	outage := func(name string, n, groupMax int, beside bool) massRun {
		name = fmt.Sprintf("outage, %s, POSTHORN_GROUP_MAX=%d%s", Grouped(float64(n)), groupMax, name)
		return massRun{name, func(m *mass, ctx context.Context) error { return m.outage(ctx, n, groupMax, beside) }}
	}
	return []massRun{
		outage("", o.Stored, 256, false), outage(", with a neighbour", o.Stored, 256, true), outage("", max(1, o.Stored/10), 1, false),
	}
}

// outage lets workers start when deliveries are overdue and no workflow drives them.
func (m *mass) outage(ctx context.Context, n, groupMax int, beside bool) error {
	s, neighbour, err := m.storedCrowd(ctx, "outage", n, -later, fmt.Sprintf("POSTHORN_GROUP_MAX=%d", groupMax))
	if err != nil {
		return err
	}
	if beside {
		wait := neighbour.start(ctx)
		defer func() { m.heard(wait(), mustBeside) }()
	}
	m.progress.phase("waiting until all is taken over")
	h := s.hooks[0]
	began := time.Now()
	var taken float64
	var taking, half time.Duration
	var atHalf float64
	m.waitFor(ctx, 500*time.Millisecond, func(ctx context.Context) (bool, error) {
		counters, err := scrape(ctx, m.stage.Metrics())
		if err != nil {
			return false, err
		}
		now := time.Since(began)
		if counters.catches > taken {
			taken, taking = counters.catches, now
		}
		if now < m.size.Watch/2 && taken < float64(n)/2 {
			half, atHalf = now, taken
		}
		return h.received.Load() >= int64(n), nil
	})
	const must = "2,000/s"
	m.notef("taken over", must, "%s in %s", Grouped(taken), perSecond(int(taken), taking))
	if rest := taking - half; taking > halves {
		m.notef("… in the first half, the second", "the same", "%s/s, %s/s", Grouped(atHalf/half.Seconds()), Grouped((taken-atHalf)/rest.Seconds()))
	}
	received := int(h.received.Load())
	m.notef("received", "", "%s in %s; %s twice", Grouped(float64(received)), perSecond(received, time.Since(began)), Grouped(float64(h.duplicates.Load())))
	return nil
}
