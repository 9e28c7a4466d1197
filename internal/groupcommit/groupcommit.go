// Package groupcommit lets concurrent callers share one transaction: callers that arrive during a commit share the
// next one. A lone caller commits at once, and many callers commit together. Nobody waits for a time unless Options.Every
// says so.
//
// It knows nothing about what is committed, and must not import any package of Posthorn except fairqueue.
package groupcommit

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/posthorn/posthorn/internal/fairqueue"
)

// ErrFull is returned when too many callers are already waiting.
var ErrFull = errors.New("groupcommit: too many are waiting")

// Options configures a Group of items of type T. Zero values mean the defaults.
type Options[T any] struct {
	MaxGroup int // most items in one flush; default 512
	MaxQueue int // most items waiting; default 16 × MaxGroup
	Flushes  int // flushes that may run at once; default 1
	// Weight returns how much an item adds to a flush, such as its rows; default 1 for each. MaxWeight is the most
	// weight of one flush, default unlimited. A heavier item is flushed alone.
	Weight    func(T) int
	MaxWeight int
	// FlushFrom is the weight that must wait before another flush starts next to a running one; default 1. A flush of
	// many items costs little more than one of few. Next to a flush that takes longer than stuckAfter, another one starts for
	// any weight.
	FlushFrom int
	// Every is the shortest time between the beginnings of two flushes: items that arrive in between share one. A flush
	// costs as much as several items, so this is cheaper where nobody waits for the result. Default 0.
	Every time.Duration
	// Key returns the owner of an item, such as a tenant. When more items wait than one flush takes, their keys take
	// turns. One key may have at most nine tenths of the queue. Default: the same key for all, and the whole queue.
	Key func(T) string
}

// Group collects items of type T for flush, which stores them all in one transaction and returns one R for each.
type Group[T, R any] struct {
	flush  func(context.Context, []T) ([]R, error)
	opts   Options[T]
	keyMax int // most items of one key waiting

	mu    sync.Mutex
	last  time.Time // when the last flush began, or is to begin
	queue fairqueue.Queue[string, waiting[T, R]]
	heavy int // the weight of what is queued
	busy  int // running flushes
	stuck int // those of them that have taken longer than stuckAfter
}

type waiting[T, R any] struct {
	item   T
	weight int
	done   chan outcome[R]
}

type outcome[R any] struct {
	result R
	err    error
}

// New returns a Group. An error from flush goes to every caller of that group. flush must bound its own time: its
// context has no end, and a flush must not wait for a TCP timeout if the database has silently gone.
func New[T, R any](flush func(context.Context, []T) ([]R, error), o Options[T]) *Group[T, R] {
	if o.MaxGroup == 0 {
		o.MaxGroup = 512
	}
	if o.MaxQueue == 0 {
		o.MaxQueue = 16 * o.MaxGroup
	}
	if o.Flushes == 0 {
		o.Flushes = 1
	}
	g := &Group[T, R]{flush: flush, opts: o, keyMax: o.MaxQueue}
	if o.Key != nil {
		g.keyMax -= o.MaxQueue / 10
	}
	return g
}

// Do returns when item has been stored or could not be. If ctx ends first, Do returns its error, and it is unknown
// whether the item has been stored.
func (g *Group[T, R]) Do(ctx context.Context, item T) (R, error) {
	w := waiting[T, R]{item: item, weight: g.weight(item), done: make(chan outcome[R], 1)}
	key := ""
	if g.opts.Key != nil {
		key = g.opts.Key(item)
	}
	g.mu.Lock()
	if g.queue.Len() >= g.opts.MaxQueue || g.opts.Key != nil && g.queue.Of(key) >= g.keyMax {
		g.mu.Unlock()
		var zero R
		return zero, ErrFull
	}
	g.queue.Push(key, w)
	g.heavy += w.weight
	// The commit belongs to all who share it, so it must not end with the request of the caller who started it.
	g.start(context.WithoutCancel(ctx))
	g.mu.Unlock()
	select {
	case o := <-w.done:
		return o.result, o.err
	case <-ctx.Done():
		var zero R
		return zero, ctx.Err()
	}
}

// start starts another flush if one is due. g.mu is held.
func (g *Group[T, R]) start(ctx context.Context) {
	due := g.busy == g.stuck || g.heavy >= g.opts.FlushFrom
	if due && g.busy < g.opts.Flushes && g.queue.Len() > 0 {
		g.busy++
		go g.work(ctx)
	}
}

// work flushes group after group until the queue is empty. Who is about to come goes first: the scheduler runs a new goroutine
// before those that have been ready for longer, which makes groups small when the processor is what all wait for.
func (g *Group[T, R]) work(ctx context.Context) {
	for {
		runtime.Gosched()
		g.rest()
		g.mu.Lock()
		group := g.next()
		if len(group) == 0 {
			g.busy--
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		g.watched(ctx, group)
	}
}

// rest waits until another flush may begin.
func (g *Group[T, R]) rest() {
	if g.opts.Every == 0 {
		return
	}
	g.mu.Lock()
	wait := time.Duration(0)
	if g.queue.Len() > 0 {
		now := time.Now()
		wait = max(0, g.last.Add(g.opts.Every).Sub(now))
		g.last = now.Add(wait)
	}
	g.mu.Unlock()
	time.Sleep(wait)
}

// stuckAfter is how long a flush may take before those who wait no longer wait for it: it may be at a locked row, or on a
// connection that has silently gone.
const stuckAfter = 50 * time.Millisecond

// watched commits a group, and counts it as stuck while it takes too long.
func (g *Group[T, R]) watched(ctx context.Context, group []waiting[T, R]) {
	var done, stuck bool
	timer := time.AfterFunc(stuckAfter, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if !done {
			stuck = true
			g.stuck++
			g.start(ctx)
		}
	})
	g.commit(ctx, group)
	if timer.Stop() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if done = true; stuck {
		g.stuck--
	}
}

// next takes the items of the next flush.
func (g *Group[T, R]) next() (group []waiting[T, R]) {
	n := min(g.queue.Len(), g.opts.MaxGroup)
	group = make([]waiting[T, R], 0, n)
	weight := 0
	if g.opts.MaxWeight == 0 && g.queue.Keys() == 1 {
		group = g.queue.PopMany(group, n)
		for _, w := range group {
			weight += w.weight
		}
	}
	for len(group) < n {
		if _, w := g.queue.Peek(); g.opts.MaxWeight > 0 && weight+w.weight > g.opts.MaxWeight && len(group) > 0 {
			break
		}
		w := g.queue.Pop()
		group, weight = append(group, w), weight+w.weight
	}
	g.heavy -= weight
	return group
}

func (g *Group[T, R]) weight(item T) int {
	if g.opts.Weight == nil {
		return 1
	}
	return g.opts.Weight(item)
}

func (g *Group[T, R]) commit(ctx context.Context, group []waiting[T, R]) {
	items := make([]T, len(group))
	for i, w := range group {
		items[i] = w.item
	}
	results, err := g.flush(ctx, items)
	for i, w := range group {
		o := outcome[R]{err: err}
		if err == nil {
			o.result = results[i]
		}
		w.done <- o
	}
}

// Waiting returns how many items wait for the next commit.
func (g *Group[T, R]) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.queue.Len()
}
