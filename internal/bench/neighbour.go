package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// neighbour is another tenant, with a healthy webhook, that publishes at a quiet rate.
type neighbour struct {
	mass   *mass
	stream *stream
}

func (m *mass) neighbour() *neighbour {
	return &neighbour{m, m.streamIn([]string{"bench-" + m.id + "-neighbour"}, "bench."+m.id+".neighbour", 1, 1, 0, 0)}
}

// Beside is how long a neighbour's events took, end to end. An event that never arrived counts as longer than all
// others.
type Beside struct {
	Sent, Arrived, Refused int
	P50, P99               time.Duration // negative = did not arrive
}

// beside describes the times of the arrived events, in microseconds, among the accepted ones.
func beside(micros []uint32, accepted, refused int) Beside {
	slices.Sort(micros)
	accepted = max(accepted, len(micros))
	at := func(percent int) time.Duration {
		rank := max(1, (percent*accepted+99)/100)
		if rank > len(micros) {
			return -1
		}
		return time.Duration(micros[rank-1]) * time.Microsecond
	}
	return Beside{Sent: accepted, Arrived: len(micros), Refused: refused, P50: at(50), P99: at(99)}
}

func (b Beside) String() string {
	if b.Arrived == 0 {
		return fmt.Sprintf("nothing of %d arrived", b.Sent)
	}
	text := short(b.P50) + " / " + short(b.P99)
	if b.Arrived < b.Sent {
		text += fmt.Sprintf(" (%d of %d did not arrive)", b.Sent-b.Arrived, b.Sent)
	}
	if b.Refused > 0 {
		text += fmt.Sprintf(" (%d refused)", b.Refused)
	}
	return text
}

// short writes a time in a suitable unit.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "never"
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

// heard is what a neighbour saw: in the first period, which is the worst, and in total.
type heard struct {
	first, all Beside
	lasted     time.Duration
	err        error // why it could not go on
}

// firstFor is the length of the first period.
const firstFor = 20 * time.Second

// publish publishes until the load or ctx ends. It then waits a while for missing events, and returns how long
// everything took. It ends early if the neighbour cannot publish at all.
func (n *neighbour) publish(ctx context.Context, load time.Duration) (h heard) {
	m, s := n.mass, n.stream
	from, accepted, lost := int(m.ledger.next.Load()), s.accepted.Load(), s.refused.Load()+s.unknown.Load()
	split := m.ledger.stamp(time.Now().Add(firstFor))
	began := time.Now()
	if err := m.atRate(ctx, s, quietRate, load); err != nil && ctx.Err() == nil {
		h.err = err
	}
	h.lasted = time.Since(began)
	sent, refused := int(s.accepted.Load()-accepted), int(s.refused.Load()+s.unknown.Load()-lost)
	arrived := func(before uint32) []uint32 {
		return m.ledger.latenciesBefore(s.places[0], from, min(int(m.ledger.next.Load()), maxEvents), before)
	}
	const end = math.MaxUint32
	for last := time.Now().Add(m.size.Load); len(arrived(end)) < sent && time.Now().Before(last); {
		time.Sleep(askLast)
	}
	first := min(sent, int(quietRate*firstFor.Seconds()))
	h.first, h.all = beside(arrived(split), first, 0), beside(arrived(end), sent, refused)
	return h
}

// start lets the neighbour publish in the background for as long as the load lasts. wait waits for the end.
func (n *neighbour) start(ctx context.Context) (wait func() heard) {
	result := make(chan heard, 1)
	go func() { result <- n.publish(ctx, n.mass.size.Load) }()
	return func() heard { return <-result }
}

// during lets the neighbour publish in the background until stop is called, at least for the first period.
func (n *neighbour) during(ctx context.Context) (stop func() heard) {
	ctx, cancel := context.WithCancel(ctx)
	result := make(chan heard, 1)
	began := time.Now()
	go func() { result <- n.publish(ctx, maxDuration) }()
	return func() heard {
		sleep(ctx, time.Until(began.Add(min(firstFor, n.mass.size.Load))))
		cancel()
		return <-result
	}
}

// heard adds the neighbour's results to the figures.
func (m *mass) heard(h heard, must string) {
	if h.lasted > firstFor {
		m.notef(fmt.Sprintf("the neighbour's p50 / p99 in the first %.0f s", firstFor.Seconds()), must, "%v", h.first)
	}
	m.notef("the neighbour's p50 / p99 in all", must, "%v in %.0f s", h.all, h.lasted.Seconds())
	if h.err != nil {
		m.notef("the neighbour could not publish", "", "%v", h.err)
	}
}

// mustBeside is the requirement for the neighbour on a machine of two cores.
const mustBeside = "p99 ≤ 150 ms; p50 ≤ 3 ×, p99 ≤ 10 × quiet"

// quiet measures the neighbour while nothing else happens, on the same stack.
func (m *mass) quiet(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	n := m.neighbour()
	if err := m.register(ctx, n.stream); err != nil {
		return err
	}
	if err := m.stage.Work(ctx); err != nil {
		return err
	}
	m.progress.follow(n.stream)
	m.progress.phase("measuring")
	m.heard(n.publish(ctx, m.size.Load), "")
	return nil
}
