package engine

import (
	"time"

	"github.com/posthorn/posthorn/workflows"
)

// begun are first attempts that began before their workflow.
type begun struct {
	by    workflows.Maker // who makes them
	ended chan struct{}   // closed when they have ended
	// settled is called when their workflow has started, or will not be started by this process. nil = nobody asks.
	settled func()

	// What came of them, and when they ended, to be read after that. nil = they could not be made, and the workflow
	// makes them.
	round *workflows.Round
	at    time.Time
}

// settle calls settled.
func (b *begun) settle() {
	if b != nil && b.settled != nil {
		b.settled()
	}
}

// made returns first attempts that have ended.
func made(r *workflows.Round) *begun {
	b := &begun{ended: make(chan struct{})}
	b.end(r)
	return b
}

// end notes what came of the attempts.
func (b *begun) end(r *workflows.Round) {
	b.round, b.at = r, time.Now()
	close(b.ended)
}

// result returns what came of the attempts; nil if they have not ended, or could not be made.
func (b *begun) result() *workflows.Round {
	if b == nil {
		return nil
	}
	select {
	case <-b.ended:
		return b.round
	default:
		return nil
	}
}

// over reports whether the attempts have ended all deliveries. The outbox row is then gone: only the workflow's start
// is left to do.
func (b *begun) over() bool {
	r := b.result()
	return r != nil && len(r.Waiting)+len(r.OverCap) == 0
}

// tell adds what is known of the attempts to the input of their workflow.
func (b *begun) tell(in workflows.DeliverInput) workflows.DeliverInput {
	if b == nil {
		return in
	}
	select {
	case <-b.ended:
		if b.round != nil {
			in = workflows.Begun(in, *b.round, time.Since(b.at))
		}
	default:
		in.By = &b.by
	}
	return in
}
