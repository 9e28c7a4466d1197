package delivery

import (
	"context"
	"sync"

	"github.com/posthorn/posthorn/models"
)

// How many events a batch reads in one query: first readFirst, then as many as will take up readBytes, judging by
// those read before, and at most readMost.
const (
	readFirst = 32
	readMost  = models.MaxDispatch
	readBytes = 1 << 20
)

// feed reads a batch's events a few at a time, when the first of them is needed. It keeps each one until the last job
// that needs it has taken it. Events of deliveries that are queued, or are not sent at all, use no memory.
type feed struct {
	read func([]models.DeliveryKey) (map[models.DeliveryKey]*models.Event, error)
	most int // in one query

	mu    sync.Mutex
	keys  []models.DeliveryKey // not read yet; some at the beginning may have been
	wants map[models.DeliveryKey]*want
	n     int // how many the next query reads
	got   map[models.DeliveryKey]*models.Event
}

// want holds a feed's knowledge about one event.
type want struct {
	jobs int // that have not taken it
	read bool
}

func newFeed(most int, read func([]models.DeliveryKey) (map[models.DeliveryKey]*models.Event, error)) *feed {
	return &feed{read: read, most: most, n: min(most, readFirst), wants: map[models.DeliveryKey]*want{}, got: map[models.DeliveryKey]*models.Event{}}
}

// add registers a job that will take an event.
func (f *feed) add(key models.DeliveryKey) {
	if f.wants[key] == nil {
		f.wants[key] = &want{}
		f.keys = append(f.keys, key)
	}
	f.wants[key].jobs++
}

// readLater lets jobs read their events when they are sent. One query reads no more than most events.
func (c *Courier) readLater(ctx context.Context, jobs []*job, most int) {
	f := newFeed(most, func(keys []models.DeliveryKey) (map[models.DeliveryKey]*models.Event, error) {
		return c.Store.EventsByID(ctx, keys)
	})
	for _, j := range jobs {
		if j.event == nil {
			j.events = f
			f.add(eventKey(&j.delivery))
		}
	}
}

func eventKey(d *models.Delivery) models.DeliveryKey {
	return models.DeliveryKey{Tenant: d.Tenant, ID: d.EventID}
}

// take returns an added event; nil if it does not exist.
func (f *feed) take(key models.DeliveryKey) (*models.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.wants[key]
	if !w.read {
		if err := f.readWith(key); err != nil {
			return nil, err
		}
	}
	e := f.got[key]
	if w.jobs--; w.jobs == 0 {
		delete(f.got, key)
	}
	return e, nil
}

// readWith reads an event, together with the next few unread ones.
func (f *feed) readWith(key models.DeliveryKey) error {
	keys, rest := []models.DeliveryKey{key}, f.keys
	for ; len(rest) > 0 && len(keys) < f.n; rest = rest[1:] {
		if next := rest[0]; next != key && !f.wants[next].read {
			keys = append(keys, next)
		}
	}
	got, err := f.read(keys)
	if err != nil {
		return err
	}
	f.keys = rest
	size := 0
	for _, key := range keys {
		f.wants[key].read = true
		if e := got[key]; e != nil {
			f.got[key] = e
			size += len(e.Data)
		}
	}
	f.n = min(f.most, max(1, readBytes*len(keys)/max(1, size)))
	return nil
}
