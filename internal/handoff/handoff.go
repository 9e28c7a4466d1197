// Package handoff passes newly accepted deliveries from accepting to their first attempt, so that the worker in the
// same process need not read them back from the database. It is a shortcut and never the truth: if something is lost
// here, it is read from the database.
//
// It must not import anything of Posthorn except models.
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

// Show returns the dispatch with which to record a delivery that has been received: its workflow will show it; "" = none
// will. recorded must be called, with whether it was recorded as delivered.
type Show func(d *models.Delivery) (dispatchID string, recorded func(delivered bool))

// fresh is how old a delivery may be when it is passed on. An older one may have been canceled, held or taken over in
// the meantime, so its state must be read again.
const fresh = 10 * time.Second

// Desk holds the work of dispatches that have been started here and are not done. Its memory is bounded.
type Desk struct {
	limit int
	now   func() time.Time

	mu    sync.Mutex
	bytes int
	held  map[string]*parcel
}

type parcel struct {
	work  []Work
	bytes int
	done  chan struct{}
}

// NewDesk returns a Desk that holds at most limit bytes of event data.
func NewDesk(limit int, now func() time.Time) *Desk {
	return &Desk{limit: limit, now: now, held: map[string]*parcel{}}
}

// Put stores a dispatch's work. done is closed when its first attempts have been made in this process, or the work has
// been dropped. If there is no room for the work, Put keeps only the channel.
func (d *Desk) Put(dispatchID string, work []Work) (done <-chan struct{}) {
	p := &parcel{work: work, done: make(chan struct{})}
	for _, w := range work {
		p.bytes += len(w.Event.Data) + 512
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bytes+p.bytes > d.limit {
		p.work, p.bytes = nil, 0
	}
	d.held[dispatchID] = p
	d.bytes += p.bytes
	return p.done
}

// Take returns a dispatch's work once; nil if there is none or it is too old.
func (d *Desk) Take(dispatchID string) []Work {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.held[dispatchID]
	if p == nil {
		return nil
	}
	work := p.work
	d.bytes -= p.bytes
	p.work, p.bytes = nil, 0
	for _, w := range work {
		if d.now().Sub(w.Delivery.CreatedAt) > fresh {
			return nil
		}
	}
	return work
}

// Done drops a dispatch: its first attempts have been made, or another process makes them.
func (d *Desk) Done(dispatchID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.held[dispatchID]; p != nil {
		delete(d.held, dispatchID)
		d.bytes -= p.bytes
		close(p.done)
	}
}
