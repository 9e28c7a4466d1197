package engine

import (
	"time"

	"github.com/posthorn/posthorn/internal/fairqueue"
)

// recently remembers for a while what has happened, for a bounded number of different things.
type recently struct {
	window time.Duration
	most   int

	at    map[string]bool
	order fairqueue.Queue[struct{}, stamp]
}

type stamp struct {
	id string
	at time.Time
}

// first notes that a thing happens, and reports whether it is the first time within the window. If there is no memory
// left it returns false, so that the work for first times is never done too often.
func (r *recently) first(id string, now time.Time) bool {
	for r.order.Len() > 0 {
		_, oldest := r.order.Peek()
		if now.Sub(oldest.at) < r.window {
			break
		}
		delete(r.at, r.order.Pop().id)
	}
	if r.at[id] || len(r.at) >= r.most {
		return false
	}
	if r.at == nil {
		r.at = map[string]bool{}
	}
	r.at[id] = true
	r.order.Push(struct{}{}, stamp{id, now})
	return true
}
