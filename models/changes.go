package models

import (
	"context"
	"sync"
)

// changeTenant runs fn in one transaction, as Tx does, for changes that begin with touchWebhooks. Such changes of one
// tenant come one after the other anyway. Those of this process queue before they take a connection, so that many of
// them leave the connections to others.
func (s *Store) changeTenant(ctx context.Context, tenant string, fn func(tx *Store) error) error {
	if s.inTx {
		return s.Tx(ctx, fn)
	}
	done, err := s.changes.wait(ctx, tenant)
	if err != nil {
		return err
	}
	defer done()
	return s.Tx(ctx, fn)
}

// inTurn lets callers that name the same thing go one after the other.
type inTurn struct {
	mu    sync.Mutex
	queue map[string]*turn
}

type turn struct {
	free chan struct{} // holds a value while nobody has the turn
	want int           // callers that have it or wait for it
}

// wait returns when it is the caller's turn, which lasts until done is called, or when ctx ends.
func (q *inTurn) wait(ctx context.Context, name string) (done func(), err error) {
	q.mu.Lock()
	if q.queue == nil {
		q.queue = map[string]*turn{}
	}
	t := q.queue[name]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		q.queue[name] = t
	}
	t.want++
	q.mu.Unlock()
	leave := func() {
		q.mu.Lock()
		if t.want--; t.want == 0 {
			delete(q.queue, name)
		}
		q.mu.Unlock()
	}
	select {
	case <-t.free:
		return func() {
			t.free <- struct{}{}
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
