package delivery

import "sync"

// resultsMost is how many results of first attempts are remembered. A workflow that waits for one takes it at once.
const resultsMost = 256

// results remembers what came of the last first attempts that were made ahead of their workflows. If a result is lost,
// the database says what is left to do. The zero value is ready.
type results struct {
	mu    sync.Mutex
	of    map[string]*Batch // by dispatch
	order [resultsMost]string
	next  int
}

// add remembers a result in place of the oldest one.
func (r *results) add(dispatchID string, b *Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = make(map[string]*Batch, resultsMost)
	}
	delete(r.of, r.order[r.next])
	r.order[r.next], r.of[dispatchID] = dispatchID, b
	r.next = (r.next + 1) % resultsMost
}

// take returns a dispatch's result once.
func (r *results) take(dispatchID string) (*Batch, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := r.of[dispatchID]
	delete(r.of, dispatchID)
	return b, ok
}
