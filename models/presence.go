package models

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// beatEvery is how often a process reports that it runs.
	beatEvery = time.Second
	// beatFor bounds each statement of a report.
	beatFor = 2 * time.Second
	// lateAfter is how long after its last report a process is late: sooner than others could seem silent.
	lateAfter = SilentFor - 2*beatEvery
	// ownFor is how long after its last report a process may act on what it holds in memory. It ends before others may
	// presume the process gone.
	ownFor = SilentFor - time.Second
)

// presence is this process's knowledge about its own row in processes.
type presence struct {
	kind, host string
	now        func() time.Time // the monotonic clock: a clock step must not look like silence

	mu     sync.Mutex
	id     int64     // 0 = it has not joined
	said   time.Time // start of the last successful report
	lapsed bool      // it has given up what it held
	wake   chan struct{}

	stop    context.CancelFunc
	stopped sync.WaitGroup
}

func newPresence() *presence { return &presence{now: time.Now, wake: make(chan struct{}, 1)} }

// Join registers this process with the others, and keeps reporting until Leave. Deliveries accepted before that are
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

// keepBeating reports every beatEvery that this process runs, and once in between if it has given up something.
func (s *Store) keepBeating(ctx context.Context) {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	wake := s.presence.wake
	for {
		select {
		case <-ticker.C:
			wake = s.presence.wake
		case <-wake:
			wake = nil // until the next tick: a process that gives up repeatedly makes few rows
		case <-ctx.Done():
			return
		}
		_ = s.Beat(ctx) // it fails if the database is away, which others report
	}
}

// Beat reports once that this process runs. A process that others have declared gone, or that has given up what it
// held, continues under another id: others take over the work under the old one.
func (s *Store) Beat(ctx context.Context) error {
	began := s.presence.now()
	var kept []int64
	for _, p := range s.presences() {
		if id := p.kept(); id != 0 {
			kept = append(kept, id)
		}
	}
	run, err := inTime(ctx, func(ctx context.Context) ([]int64, error) { return s.touch(ctx, kept) })
	if err != nil {
		return err
	}
	for _, p := range s.presences() {
		err = errors.Join(err, s.beat(ctx, p, began, run))
	}
	return err
}

// beat notes when a report of this process began. If its id is not among those that run, it gets another.
func (s *Store) beat(ctx context.Context, p *presence, began time.Time, run []int64) error {
	p.mu.Lock()
	id := p.id
	runs := slices.Contains(run, id)
	if runs {
		p.said = began
	}
	p.mu.Unlock()
	if runs {
		return nil
	}
	id, err := inTime(ctx, func(ctx context.Context) (int64, error) { return s.register(ctx, p.kind, p.host, id) })
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.id, p.said, p.lapsed = id, began, false
	p.mu.Unlock()
	return nil
}

// inTime does one step of a report, which takes beatFor at most.
func inTime[T any](ctx context.Context, step func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, beatFor)
	defer cancel()
	return step(ctx)
}

// kept returns the id, if this process has not given up what it holds under it.
func (p *presence) kept() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lapsed {
		return 0
	}
	return p.id
}

// Leave reports that this process ends. Others take over at once what it still holds.
func (s *Store) Leave(ctx context.Context) error {
	p := s.presence
	if p.stop == nil {
		return nil
	}
	p.stop()
	p.stopped.Wait()
	var err error
	for _, p := range s.presences() {
		err = errors.Join(err, s.resign(ctx, p.end()))
	}
	return err
}

// end clears the id, and returns it.
func (p *presence) end() (id int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, p.id = p.id, 0
	return id
}

// ProcessID returns the id under which this process holds what it accepts now; 0 = it has not joined. After it has
// given up what it holds, and until it has another id, others also take over what it accepts.
func (s *Store) ProcessID() int64 {
	p := s.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id
}

// PostingID returns the id under which this process holds the deliveries whose first attempts it makes outside of
// workflows, and the dispatches of these. LetGo does not end it: a delivery that is being POSTed is not taken over as long as the
// process runs. ok is false if there is no such id, or others may presume the process gone.
func (s *Store) PostingID() (id int64, ok bool) {
	p := s.posting
	if p == nil {
		return 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id, p.known()
}

// presences returns what this process knows about each of its rows.
func (s *Store) presences() []*presence {
	if s.posting == nil {
		return []*presence{s.presence}
	}
	return []*presence{s.presence, s.posting}
}

// ids returns the ids of this process.
func (s *Store) ids() (all []int64) {
	for _, p := range s.presences() {
		p.mu.Lock()
		all = append(all, p.id)
		p.mu.Unlock()
	}
	return all
}

// IsThis reports whether an id is one of this process's.
func (s *Store) IsThis(id int64) bool { return id != 0 && slices.Contains(s.ids(), id) }

// Reports reports whether this process's own reports are in time: the database takes writes. If it has not for so long that
// others seem silent, this process's reports are late as well.
func (s *Store) Reports() bool {
	p := s.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id != 0 && p.now().Sub(p.said) < lateAfter
}

// known reports whether the others consider this process alive.
func (p *presence) known() bool { return p.id != 0 && !p.lapsed && p.now().Sub(p.said) < ownFor }

// Owns reports whether what this process holds under an id is still its own. If the process was suspended, or could
// not reach the database, others may have taken it over. Deliveries held under no id are found only when they are
// overdue, so they always stay its own.
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

// LetGo gives up what this process holds: others take it over, except what is already driven. It is for a process that
// could not start some of it.
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
	default: // it is already awake
	}
}

// LeaseHolder returns this process's name in leases; "" if it has not joined.
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
