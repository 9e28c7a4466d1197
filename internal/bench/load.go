package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// stream is the events of one type and their webhooks.
type stream struct {
	eventType string
	hooks     []*hook
	fanout    int        // deliveries of one event
	places    []place    // one for each of them
	requests  []*request // for each tenant
	batch     int        // events in a request

	accepted atomic.Int64 // events
	refused  atomic.Int64 // events answered with 503 or 429
	unknown  atomic.Int64 // events that may or may not have been accepted

	mu    sync.Mutex
	calls []uint32 // how long calls that were accepted took, in microseconds
	first error    // the first error
}

// publisher is one caller with its own requests to number.
type publisher struct {
	run      *run
	stream   *stream
	caller   *caller
	requests []request
	calls    []uint32
}

func (r *run) publisher(s *stream) *publisher {
	p := &publisher{run: r, stream: s, caller: newCaller(r.target.base.Host)}
	for _, q := range s.requests {
		p.requests = append(p.requests, request{bytes: append([]byte(nil), q.bytes...), slots: q.slots})
	}
	return p
}

// done hands in the publisher's measurements.
func (p *publisher) done() {
	p.caller.close()
	p.stream.mu.Lock()
	p.stream.calls = append(p.stream.calls, p.calls...)
	p.stream.mu.Unlock()
}

// pause limits the wait of a refused caller, whatever the answer says.
const (
	leastPause = 10 * time.Millisecond
	mostPause  = 5 * time.Second
)

// errRefused is returned for an answer that shows a mistake in the load itself.
var errRefused = errors.New("publish was refused")

// tolerable is how many calls may fail before the first succeeds.
const tolerable = 50

// publish sends the next request, as of at, and returns how long to wait before another. more is false when no sequence
// numbers are left.
func (p *publisher) publish(ctx context.Context, at time.Time) (pause time.Duration, more bool, err error) {
	s, l := p.stream, p.run.ledger
	first, more := l.take(s.batch)
	if !more {
		return 0, false, nil
	}
	q := &p.requests[first/s.batch%len(p.requests)]
	q.number(first)
	l.post(first, s.batch, at)
	began := time.Now()
	a, err := p.caller.call(ctx, q)
	n := int64(s.batch)
	switch {
	case err != nil:
		s.unknown.Add(n)
		return leastPause, true, s.note(err)
	case a.status == 202:
		p.calls = append(p.calls, micros(time.Since(began)))
		s.accepted.Add(n)
		return 0, true, nil
	case a.status == 503 || a.status == 429:
		s.refused.Add(n)
		return min(max(a.retryAfter, leastPause), mostPause), true, nil
	case a.status >= 500:
		s.unknown.Add(n)
		return leastPause, true, s.note(fmt.Errorf("answered %d", a.status))
	default:
		return 0, false, fmt.Errorf("%w with %d", errRefused, a.status)
	}
}

// note keeps the first error, and gives up if nothing has ever succeeded.
func (s *stream) note(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		s.first = err
	}
	if s.accepted.Load() == 0 && s.unknown.Load() > int64(tolerable*s.batch) {
		return fmt.Errorf("nothing can be published: %w", s.first)
	}
	return nil
}

// closedLoop lets callers publish for a while or until about most events have been sent. Each caller sends its next
// request when the last is answered.
func (r *run) closedLoop(ctx context.Context, s *stream, callers int, d time.Duration, most int64) error {
	var sent atomic.Int64
	end := time.Now().Add(d)
	g, ctx := errgroup.WithContext(ctx)
	for range callers {
		g.Go(func() error {
			p := r.publisher(s)
			defer p.done()
			for {
				now := time.Now()
				if now.After(end) || sent.Add(int64(s.batch)) > most {
					return nil
				}
				pause, more, err := p.publish(ctx, now)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil || !more {
					return err
				}
				if pause > 0 && !sleep(ctx, min(pause, time.Until(end))) {
					return ctx.Err()
				}
			}
		})
	}
	return g.Wait()
}

// rateCallers are enough for a rate of thousands, if a call takes no longer than some ten milliseconds.
const rateCallers = 64

// atRate publishes at a steady rate, whether or not earlier calls have been answered. A slow answer therefore delays no
// later call, and the measurement does not miss calls that would have been slow.
func (r *run) atRate(ctx context.Context, s *stream, rate float64, d time.Duration) error {
	total := max(1, int(rate*d.Seconds()))
	due := make(chan time.Time, total)
	g, ctx := errgroup.WithContext(ctx)
	for range rateCallers {
		g.Go(func() error {
			p := r.publisher(s)
			defer p.done()
			for at := range due {
				if _, more, err := p.publish(ctx, at); err != nil || !more {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(due)
		began, interval := time.Now(), time.Duration(float64(time.Second)/rate)
		for i := range total {
			if !sleep(ctx, time.Until(began.Add(time.Duration(i)*interval))) {
				return ctx.Err()
			}
			due <- began.Add(time.Duration(i) * interval) // for a waiting caller it is due then, however late the generator is
		}
		return nil
	})
	err := g.Wait()
	var closed net.Error
	if ctx.Err() != nil && errors.As(err, &closed) {
		return ctx.Err()
	}
	return err
}

// sleep waits; false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
