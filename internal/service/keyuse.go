package service

import (
	"context"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/posthorn/posthorn/internal/panics"
)

const (
	// usedEvery is the shortest time between two writes of one key's use.
	usedEvery = time.Minute
	// usesKept bounds the keys whose last use is remembered, and usesWaiting those that are queued to be written.
	usesKept, usesWaiting = 100_000, 10_000
	// useFor bounds one write.
	useFor = 5 * time.Second
)

// keyUses writes in the background when keys were last used: one key at a time, each at most once in usedEvery.
type keyUses struct {
	write func(ctx context.Context, id string, at time.Time) error
	known *lru.Cache[string, time.Time] // the last written time, by key

	mu      sync.Mutex
	waiting map[string]time.Time
	writing bool
	closed  bool
	writer  sync.WaitGroup
}

func newKeyUses(write func(context.Context, string, time.Time) error) *keyUses {
	return &keyUses{write: write, known: newLRU[string, time.Time](usesKept), waiting: map[string]time.Time{}}
}

// note takes in that a key has been used.
func (u *keyUses) note(id string, now time.Time) {
	if at, ok := u.known.Get(id); ok && now.Sub(at) < usedEvery && at.Sub(now) < usedEvery {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || len(u.waiting) >= usesWaiting {
		return
	}
	u.known.Add(id, now)
	u.waiting[id] = now
	if !u.writing {
		u.writing = true
		u.writer.Go(u.writeAll)
	}
}

// writeAll ends when the queue is empty. A use that cannot be written is tried again when the key is used later.
func (u *keyUses) writeAll() {
	for {
		id, at, ok := u.next()
		if !ok {
			return
		}
		panics.Safely("the note of a key's use", func() {
			ctx, cancel := context.WithTimeout(context.Background(), useFor)
			defer cancel()
			_ = u.write(ctx, id, at) // it fails if the database is away, which others report
		})
	}
}

func (u *keyUses) next() (id string, at time.Time, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, at = range u.waiting {
		delete(u.waiting, id)
		return id, at, true
	}
	u.writing = false
	return "", time.Time{}, false
}

// close waits until everything is written, and accepts no more.
func (u *keyUses) close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.writer.Wait()
}
