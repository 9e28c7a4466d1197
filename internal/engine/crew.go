package engine

import (
	"sync"

	"github.com/posthorn/posthorn/internal/fairqueue"
	"github.com/posthorn/posthorn/internal/panics"
)

// crew processes a fair queue with a bounded number of goroutines, which end when the queue is empty.
type crew[T any] struct {
	do   func(T)
	most int // goroutines
	room int // the most queued items
	jobs *sync.WaitGroup

	mu    sync.Mutex
	queue fairqueue.Queue[string, T]
	busy  int
}

// add queues an item behind those with the same key, and reports whether there was room for it.
func (c *crew[T]) add(key string, item T) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queue.Len() >= c.room {
		return false
	}
	c.queue.Push(key, item)
	if c.busy < c.most {
		c.busy++
		c.jobs.Go(c.work)
	}
	return true
}

func (c *crew[T]) work() {
	for {
		c.mu.Lock()
		if c.queue.Len() == 0 {
			c.busy--
			c.mu.Unlock()
			return
		}
		item := c.queue.Pop()
		c.mu.Unlock()
		panics.Safely("the engine", func() { c.do(item) })
	}
}
