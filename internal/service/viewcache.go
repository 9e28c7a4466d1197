package service

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// The bounds of the views in memory, in number and in bytes. The least recently used are dropped first.
const (
	maxTenants   = 10_000
	maxViewBytes = 256 << 20
	// One largeViews-th of the bytes is for large views; largeView says from which share of it a view is large.
	largeViews = 4
	largeView  = 64
)

// viewCache keeps the views of the most recently used tenants. Large views have a separate list: a large tenant
// displaces other large ones, and no small ones. It is safe for concurrent use.
type viewCache struct {
	mu           sync.Mutex
	usual, large viewList
	largeFrom    int // bytes
}

// viewList is a part of a viewCache. The most recently used view stays, however large it is.
type viewList struct {
	views       *simplelru.LRU[string, *view]
	bytes, most int
}

func newViewCache(most int) *viewCache {
	c := &viewCache{largeFrom: max(1, most/largeView)}
	c.large.open(most / largeViews)
	c.usual.open(most - c.large.most)
	return c
}

func (l *viewList) open(most int) {
	l.most = most
	views, err := simplelru.NewLRU(maxTenants, func(_ string, v *view) { l.bytes -= v.bytes })
	if err != nil {
		panic(err) // only for a size below 1
	}
	l.views = views
}

func (l *viewList) add(tenant string, v *view) {
	l.views.Add(tenant, v)
	l.bytes += v.bytes
	for l.bytes > l.most && l.views.Len() > 1 {
		l.views.RemoveOldest()
	}
}

// Get returns the view of a tenant, if it is in memory.
func (c *viewCache) Get(tenant string) (*view, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.usual.views.Get(tenant); ok {
		return v, true
	}
	return c.large.views.Get(tenant)
}

// add keeps a view in place of an older one, and with force also in place of a newer one.
func (c *viewCache) add(tenant string, v *view, force bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range []*viewList{&c.usual, &c.large} {
		if old, ok := l.views.Peek(tenant); ok && old.version > v.version && !force {
			return
		}
		l.views.Remove(tenant)
	}
	if v.bytes >= c.largeFrom {
		c.large.add(tenant, v)
	} else {
		c.usual.add(tenant, v)
	}
}

func (c *viewCache) remove(tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.usual.views.Remove(tenant)
	c.large.views.Remove(tenant)
}
