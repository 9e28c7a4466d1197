package models

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	// beatEvery is how often a process says that it runs.
	beatEvery = time.Second
	// beatFor bounds one try to say so.
	beatFor = 2 * time.Second
	// ownFor is how long after it last said so a process may act on what it holds in memory. It ends before others may
	// take the process for gone.
	ownFor = SilentFor - time.Second
)

// presence is what this process knows of a row of its own in processes.
type presence struct {
	kind, host string
	now        func() time.Time // the monotonic clock: a step of the time is no silence

	mu     sync.Mutex
	id     int64     // 0 = it has not joined
	said   time.Time // when it last began to say that it runs, and succeeded
	lapsed bool      // it has let go of what it held
	wake   chan struct{}

	stop    context.CancelFunc
	stopped sync.WaitGroup
}

func newPresence() *presence { return &presence{now: time.Now, wake: make(chan struct{}, 1)} }

// Join lets the other processes know of this one, and goes on doing so until Leave. Deliveries accepted before that are
// found only when they are overdue.
func (s *Store) Join(ctx context.Context, kind string) error {
	p := s.presence
	p.kind = kind
	p.host, _ = os.Hostname()
	if s.posting != nil {
		s.posting.kind, s.posting.host = kind+", first attempts", p.host
	}
	if err := s.Beat(ctx); err != nil {
		return err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	p.stopped.Go(func() { s.keepBeating(background) })
	return nil
}

// keepBeating says every beatEvery that this process runs, and once in between if it has let go of something.
func (s *Store) keepBeating(ctx context.Context) {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	wake := s.presence.wake
	for {
		select {
		case <-ticker.C:
			wake = s.presence.wake
		case <-wake:
			wake = nil // until the next tick: a process that lets go again and again makes few rows
		case <-ctx.Done():
			return
		}
		_ = s.Beat(ctx) // what fails is a database that is away: everybody else says so
	}
}

// Beat says once that this process runs. A process that others have declared gone, or that has let go of what it held,
// goes on under another id: what hangs on the old one is for others to take over.
func (s *Store) Beat(ctx context.Context) error {
	err := s.beat(ctx, s.presence)
	if s.posting != nil {
		err = errors.Join(err, s.beat(ctx, s.posting))
	}
	return err
}

func (s *Store) beat(ctx context.Context, p *presence) error {
	ctx, cancel := context.WithTimeout(ctx, beatFor)
	defer cancel()
	p.mu.Lock()
	id, lapsed, began := p.id, p.lapsed, p.now()
	p.mu.Unlock()
	if id != 0 && !lapsed {
		switch runs, err := s.touch(ctx, id); {
		case err != nil:
			return err
		case runs:
			p.mu.Lock()
			p.said = began
			p.mu.Unlock()
			return nil
		}
	}
	id, err := s.register(ctx, p.kind, p.host, id)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.id, p.said, p.lapsed = id, began, false
	p.mu.Unlock()
	return nil
}

// Leave says that this process ends. Others take over at once what it still holds.
func (s *Store) Leave(ctx context.Context) error {
	p := s.presence
	if p.stop == nil {
		return nil
	}
	p.stop()
	p.stopped.Wait()
	err := s.resign(ctx, p.end())
	if s.posting != nil {
		err = errors.Join(err, s.resign(ctx, s.posting.end()))
	}
	return err
}

// end forgets the id, and returns it.
func (p *presence) end() (id int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, p.id = p.id, 0
	return id
}

// ProcessID is the id under which this process holds what it accepts now; 0 = it has not joined. After it has let go of what
// it holds, and until it has another id, others take over what it accepts, too.
func (s *Store) ProcessID() int64 {
	p := s.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id
}

// PostingID is the id under which this process holds the deliveries whose first attempts it makes while no dispatch drives
// them. LetGo does not end it: what is being POSTed is not taken over as long as the process runs. ok is false if there is
// no such id, or others may take the process for gone.
func (s *Store) PostingID() (id int64, ok bool) {
	p := s.posting
	if p == nil {
		return 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id, p.known()
}

// ids are the ids of this process.
func (s *Store) ids() (all []int64) {
	for _, p := range []*presence{s.presence, s.posting} {
		if p == nil {
			continue
		}
		p.mu.Lock()
		all = append(all, p.id)
		p.mu.Unlock()
	}
	return all
}

// known reports whether the others take this process for alive.
func (p *presence) known() bool { return p.id != 0 && !p.lapsed && p.now().Sub(p.said) < ownFor }

// Owns reports whether what this process holds under an id is still its own. After a time in which the process was
// suspended, or could not reach the database, others may have taken it over. Deliveries held under no id are found only when
// they are overdue, so they are always its own.
func (s *Store) Owns(id int64) bool {
	if posting, ok := s.PostingID(); ok && id == posting {
		return true
	}
	p := s.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	if id == 0 || p.id == id && p.known() {
		return true
	}
	if p.id == id {
		p.letGo()
	}
	return false
}

// LetGo gives up what this process holds: others take it over, except what is being driven already. It is for a process
// that could not start some of it.
func (s *Store) LetGo() {
	p := s.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.id != 0 {
		p.letGo()
	}
}

func (p *presence) letGo() {
	p.lapsed = true
	select {
	case p.wake <- struct{}{}:
	default: // it is awake
	}
}

// LeaseHolder names this process in leases; "" if it has not joined.
func (s *Store) LeaseHolder() string {
	p := s.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.id == 0 {
		return ""
	}
	return leaseHolder(p.id)
}

func leaseHolder(id int64) string { return "process " + strconv.FormatInt(id, 10) }
