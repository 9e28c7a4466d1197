package bench

import (
	"context"
	"time"
)

// backlog is the deliveries that wait for the slow receiver while something else is measured.
type backlog struct {
	run    *run
	stream *stream
}

// waiting returns how many of its deliveries have not been answered.
func (b *backlog) waiting() int64 {
	return b.stream.accepted.Load()*int64(b.stream.fanout) - received(b.stream.hooks)
}

// fill publishes the backlog.
func (b *backlog) fill(ctx context.Context) error {
	b.run.progress.phase("filling the slow webhook's queue")
	return b.run.closedLoop(ctx, b.stream, batchCallers, b.run.o.Patience, int64(b.run.o.Backlog)-b.waiting())
}

// lookEvery is how often a backlog is checked.
const lookEvery = 20 * time.Millisecond

// keep replaces delivered events until stop is called. stop returns the smallest number that waited.
func (b *backlog) keep(ctx context.Context) (stop func() (fewest int64, err error)) {
	done, ended := make(chan struct{}), make(chan struct{})
	fewest := b.waiting()
	var err error
	go func() {
		defer close(ended)
		p := b.run.publisher(b.stream)
		defer p.done()
		for more := true; more && err == nil; {
			now := b.waiting()
			fewest = min(fewest, now)
			pause := lookEvery
			if now+int64(b.stream.batch) <= int64(b.run.o.Backlog) {
				pause, more, err = p.publish(ctx, time.Now())
			}
			select {
			case <-done:
				return
			case <-time.After(pause):
			}
		}
	}()
	return func() (int64, error) {
		close(done)
		<-ended
		return fewest, err
	}
}
