//go:build linux

package chaos

import (
	"sync"
	"time"
)

// pair is one event for one webhook.
type pair struct {
	event string
	hook  int
}

// post is one POST that arrived.
type post struct {
	at, left time.Time // left is zero until it is answered
	status   int
	stamp    string // its webhook-timestamp, which its record has too
}

func (p *post) received() bool { return p.status/100 == 2 }

// owed is what the ledger knows about a pair.
type owed struct {
	asked    time.Time // when the call began
	accepted time.Time // when the call was answered with 2xx; zero = not, or not yet
	unknown  time.Time // when the call ended without a clear answer
	posts    []post
	received bool
	counted  counts // the irregularities that an audit has counted
}

// counts are irregularities of POSTs.
type counts struct {
	duplicates, duplicatesUnexplained, unrecorded, unrecordedUnexplained int
}

// ledger records the published events and the arrived POSTs.
type ledger struct {
	mu   sync.Mutex
	owed map[pair]*owed
	// hooks are the receivers by the ids of their webhooks. They are set before anything is published.
	hooks map[string]int
	// open has the pairs that have not been received. dirty has those that have changed since an audit found them in
	// order.
	open, dirty map[pair]struct{}
	// accepted, unknown and posts count since they were last taken.
	accepted, unknown, posts int
}

func newLedger() *ledger {
	return &ledger{owed: map[pair]*owed{}, open: map[pair]struct{}{}, dirty: map[pair]struct{}{}}
}

// of finds a pair, or makes it.
func (l *ledger) of(p pair) *owed {
	o := l.owed[p]
	if o == nil {
		o = &owed{}
		l.owed[p] = o
	}
	return o
}

// ask notes that events are being published.
func (l *ledger) ask(pairs []pair) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, p := range pairs {
		l.of(p).asked = now
	}
}

// settle notes how the call ended.
func (l *ledger) settle(pairs []pair, result outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, p := range pairs {
		o := l.of(p)
		switch result {
		case answered:
			o.accepted = now
			l.accepted++
			l.dirty[p] = struct{}{}
			if !o.received {
				l.open[p] = struct{}{}
			}
		case unknown:
			o.unknown = now
			l.unknown++
			l.dirty[p] = struct{}{}
		case refused:
			if len(o.posts) == 0 {
				delete(l.owed, p)
			}
		}
	}
}

// arrival is a POST that is being answered.
type arrival struct {
	pair
	index int
	first bool // of its pair
}

// arrive notes a POST.
func (l *ledger) arrive(p pair, stamp string) arrival {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.of(p)
	o.posts = append(o.posts, post{at: time.Now(), stamp: stamp})
	l.posts++
	l.dirty[p] = struct{}{}
	return arrival{p, len(o.posts) - 1, len(o.posts) == 1}
}

// leave notes how a POST is about to be answered.
func (l *ledger) leave(a arrival, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.owed[a.pair]
	o.posts[a.index].left, o.posts[a.index].status = time.Now(), status
	if o.posts[a.index].received() {
		o.received = true
		delete(l.open, a.pair)
	}
}

// undelivered counts the pairs that were accepted before a time and have not been received.
func (l *ledger) undelivered(before time.Time) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.open {
		if l.owed[p].accepted.Before(before) {
			n++
		}
	}
	return n
}

// has reports whether a pair has been received.
func (l *ledger) has(p pair) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.owed[p]
	return o != nil && o.received
}

// due returns copies of the pairs that an audit as of a time checks. Their call ended before that time, they have
// changed since an audit found them in order, and none of their POSTs is being answered.
func (l *ledger) due(before time.Time) map[pair]owed {
	l.mu.Lock()
	defer l.mu.Unlock()
	due := map[pair]owed{}
	for p := range l.dirty {
		o := l.owed[p]
		ended := o.accepted
		if ended.IsZero() {
			ended = o.unknown
		}
		if ended.IsZero() && (o.asked.IsZero() || time.Since(o.asked) > foreignAfter) {
			ended = o.posts[0].at // as far as we know, it was not published here
		}
		if ended.IsZero() || !ended.Before(before) || underWay(o.posts) {
			continue
		}
		kept := *o
		kept.posts = append([]post(nil), o.posts...)
		due[p] = kept
	}
	return due
}

// foreignAfter is longer than any call takes.
const foreignAfter = time.Minute

func underWay(posts []post) bool {
	for i := range posts {
		if posts[i].left.IsZero() {
			return true
		}
	}
	return false
}

// done notes that a pair has been checked, unless it has changed since, and the counts of that check.
func (l *ledger) done(p pair, posts int, counted counts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.owed[p]
	o.counted = counted
	if len(o.posts) == posts {
		delete(l.dirty, p)
	}
}

// take returns three numbers since its last call: the accepted pairs, the pairs whose acceptance is unknown, and the
// POSTs that arrived.
func (l *ledger) take() (accepted, unknown, posts int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	accepted, unknown, posts = l.accepted, l.unknown, l.posts
	l.accepted, l.unknown, l.posts = 0, 0, 0
	return accepted, unknown, posts
}
