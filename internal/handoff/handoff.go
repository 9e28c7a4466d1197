// Package handoff carries what a process has just accepted from the accepting to the first attempt, so that the
// worker in the same process need not read it back from the database. It is a shortcut and never the truth: what
// is lost here is read from the database.
//
// It must not import anything of Posthorn but models.
package handoff

import (
	"sync"
	"time"

	"github.com/posthorn/posthorn/models"
)

// Work is one delivery to attempt, with its event.
type Work struct {
	Delivery models.Delivery
	Event    *models.Event // shared by all deliveries of one event
}

// fresh is how old a delivery may be that is handed on: an older one may have been canceled, held or taken over
// meanwhile, and its state is to be read again.
const fresh = 10 * time.Second

// Desk holds the work of dispatches that have not begun. Its memory is bounded.
type Desk struct {
	limit int
	now   func() time.Time

	mu    sync.Mutex
	bytes int
	held  map[string]parcel
}

type parcel struct {
	work  []Work
	bytes int
	taken func()
}

// NewDesk makes a Desk that holds at most limit bytes of event data.
func NewDesk(limit int, now func() time.Time) *Desk {
	return &Desk{limit: limit, now: now, held: map[string]parcel{}}
}

// Put leaves a dispatch's work; taken is called once, when it is taken or dropped. Where there is no room it is
// dropped at once.
func (d *Desk) Put(dispatchID string, work []Work, taken func()) {
	p := parcel{work: work, taken: taken}
	for _, w := range work {
		p.bytes += len(w.Event.Data) + 512
	}
	d.mu.Lock()
	room := d.bytes+p.bytes <= d.limit
	if room {
		d.held[dispatchID] = p
		d.bytes += p.bytes
	}
	d.mu.Unlock()
	if !room {
		taken()
	}
}

// Take fetches a dispatch's work, once; nil if there is none or it is too old.
func (d *Desk) Take(dispatchID string) []Work {
	d.mu.Lock()
	p, ok := d.held[dispatchID]
	if ok {
		delete(d.held, dispatchID)
		d.bytes -= p.bytes
	}
	d.mu.Unlock()
	if !ok {
		return nil
	}
	p.taken()
	for _, w := range p.work {
		if d.now().Sub(w.Delivery.CreatedAt) > fresh {
			return nil
		}
	}
	return p.work
}
