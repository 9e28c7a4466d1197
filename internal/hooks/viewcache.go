package hooks

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// The bounds of the views kept in memory, in number and in bytes. The least recently used go first; the one used last
// stays, however large.
const (
	maxTenants   = 10_000
	maxViewBytes = 256 << 20
)

// viewCache keeps the views of the tenants used last. It is safe for concurrent use.
type viewCache struct {
	mu    sync.Mutex
	views *simplelru.LRU[string, *view]
	bytes int
	most  int
}

func newViewCache(most int) *viewCache {
	c := &viewCache{most: most}
	views, err := simplelru.NewLRU(maxTenants, func(_ string, v *view) { c.bytes -= v.bytes })
	if err != nil {
		panic(err) // only for a size below 1
	}
	c.views = views
	return c
}

// Get gives the view of a tenant, if it is there.
func (c *viewCache) Get(tenant string) (*view, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.views.Get(tenant)
}

// add keeps a view instead of an older one; anew: instead of whichever is there.
func (c *viewCache) add(tenant string, v *view, anew bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.views.Peek(tenant); ok && old.version > v.version && !anew {
		return
	}
	c.views.Remove(tenant)
	c.views.Add(tenant, v)
	c.bytes += v.bytes
	for c.bytes > c.most && c.views.Len() > 1 {
		c.views.RemoveOldest()
	}
}

func (c *viewCache) remove(tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.views.Remove(tenant)
}
