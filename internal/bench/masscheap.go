package bench

import (
	"context"
	"fmt"
	"time"
)

const (
	cheapFanout = 20
	deadFanout  = 200
	cheapRate   = 1 // events a second
)

// cost is the cost of a load.
type cost struct {
	posts         int
	ours, engines int64
	cpu, lasted   time.Duration
}

func (c cost) transactions() float64 { return float64(c.ours+c.engines) / float64(max(1, c.posts)) }

func (c cost) processor() float64 {
	return float64(c.cpu.Microseconds()) / 1000 / float64(max(1, c.posts))
}

func (c cost) String() string {
	n := float64(max(1, c.posts))
	return fmt.Sprintf("%.1f + %.1f transactions, %.1f ms", float64(c.ours)/n, float64(c.engines)/n, c.processor())
}

// cheap compares the cost of a failing POST with that of a received one, without retries.
func (m *mass) cheap(ctx context.Context) error {
	// no webhook is deactivated during the measurement
	if err := m.begin(ctx, "POSTHORN_FAILURE_THRESHOLD=1000000000"); err != nil {
		return err
	}
	received, failing, dead := m.fanned("received", cheapFanout, nil), m.fanned("failing", cheapFanout, broken), m.fanned("dead", deadFanout, broken)
	if err := m.register(ctx, received, failing, dead); err != nil {
		return err
	}
	if err := m.work(ctx); err != nil {
		return err
	}
	var costs []cost
	for _, s := range []*stream{nil, received, failing, dead} {
		c, err := m.cost(ctx, s)
		if err != nil {
			return err
		}
		costs = append(costs, c)
	}
	idle, good, bad, all := costs[0], costs[1], costs[2], costs[3]
	m.notef("idle", "", "%.1f + %.1f transactions a second, %.2f cores", float64(idle.ours)/idle.lasted.Seconds(), float64(idle.engines)/idle.lasted.Seconds(), idle.cpu.Seconds()/idle.lasted.Seconds())
	m.notef("1 event a second to 20 webhooks: a POST that is received", "", "%v", good)
	m.notef("… that fails", "", "%v", bad)
	m.notef("… fails / is received, transactions, processor", "≤ 1.5", "%.2f, %.2f", bad.transactions()/max(.001, good.transactions()), bad.processor()/max(.001, good.processor()))
	m.notef("1 event a second to 200 webhooks that fail", "< 1 core", "%.2f cores; %d POSTs: %v each", all.cpu.Seconds()/all.lasted.Seconds(), all.posts, all)
	return nil
}

// fanned returns a stream of events that each go to many webhooks, without retries.
func (m *mass) fanned(name string, fanout int, refuse func(uint32) int) *stream {
	s := &stream{eventType: "bench." + m.id + "." + name, fanout: fanout, batch: 1}
	tenant := "bench-" + m.id + "-" + name
	s.requests = []*request{publish(m.target.base, m.target.key, tenant, s.eventType, 1, m.o.Payload, labels{})}
	place := newPlace()
	for range fanout {
		if refuse == nil {
			place = newPlace() // failures are not noted
		}
		h := m.ledger.addHook(tenant, place, 0, 0)
		h.refuse, h.retry = refuse, retryNever
		s.hooks = append(s.hooks, h)
	}
	return s
}

// cost measures a stream at a low rate, or the same period without one.
func (m *mass) cost(ctx context.Context, s *stream) (c cost, err error) {
	posts := func() (n int64) {
		if s == nil {
			return 0
		}
		for _, h := range s.hooks {
			n += h.received.Load() + h.duplicates.Load() + h.refusals.Load()
		}
		return n
	}
	if s != nil {
		m.progress.phase("warming up")
		if err := m.atRate(ctx, s, cheapRate, 3*time.Second); err != nil {
			return c, err
		}
		sleep(ctx, 2*settleFor)
	}
	m.progress.phase("measuring")
	before, began := posts(), time.Now()
	watch, err := startWatch(procDir, m.stage.Processes())
	if err != nil {
		return c, err
	}
	ours, engines, err := m.stage.Transactions(ctx)
	if err != nil {
		_, _ = watch.stop()
		return c, err
	}
	if s == nil {
		sleep(ctx, m.size.Load/2)
	} else if err = m.atRate(ctx, s, cheapRate, m.size.Load/2); err == nil {
		expected := s.accepted.Load() * int64(s.fanout)
		m.waitFor(ctx, askLast, func(context.Context) (bool, error) { return posts() >= expected, nil })
	}
	c.lasted = time.Since(began)
	sleep(ctx, settleFor)
	usage, watchErr := watch.stop()
	if err == nil {
		err = watchErr
	}
	if err != nil {
		return c, err
	}
	c.posts = int(posts() - before)
	if usage != nil {
		c.cpu = time.Duration(usage.CPUSeconds * float64(time.Second))
	}
	c.ours, c.engines, err = m.stage.Transactions(ctx)
	c.ours, c.engines = c.ours-ours, c.engines-engines
	return c, err
}
