package hooks

import (
	"context"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"github.com/posthorn/posthorn/models"
)

// directory keeps what publishing and sending need to know of tenants in memory: their webhooks by event type, their
// event types and their keys. A view is good while the tenant's version stays the same. Accepting checks the version in its
// own transaction; sending looks at it again when the view is older than maxAge.
type directory struct {
	service *Service
	loads   singleflight.Group
	views   *lru.Cache[string, *view]
}

// maxTenants bounds the tenants kept in memory; the least recently used go first.
const maxTenants = 10_000

// maxAge is for how long sending trusts a view: the longest a worker may go on sending to a webhook that was
// disabled through another process.
const maxAge = time.Second

// view is one tenant as it was at a version. It is never changed, but for checkedAt and the lazily opened parts.
type view struct {
	version  int64
	webhooks map[string]*entry
	exact    map[string][]*entry // webhooks by the event types they name
	patterns []*entry            // webhooks that name none, or wildcards
	types    map[string]*eventType
	keys     map[string]models.APIKey // by hash

	mu        sync.Mutex
	checkedAt time.Time
}

type entry struct {
	webhook models.Webhook
	open    sync.Once
	opened  *sealed
	err     error
}

func newDirectory(s *Service) *directory {
	views, err := lru.New[string, *view](maxTenants)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &directory{service: s, views: views}
}

// forget drops what is known of a tenant; the next to ask reads it anew.
func (d *directory) forget(tenant string) { d.views.Remove(tenant) }

// cached gives the view of the tenant however old it is, for callers who check its version themselves.
func (d *directory) cached(ctx context.Context, tenant string) (*view, error) {
	if v, ok := d.views.Get(tenant); ok {
		return v, nil
	}
	return d.load(ctx, tenant)
}

// current gives a view of the tenant that was right at most maxAge ago.
func (d *directory) current(ctx context.Context, tenant string) (*view, error) {
	v, ok := d.views.Get(tenant)
	if !ok {
		return d.load(ctx, tenant)
	}
	now := d.service.Now()
	v.mu.Lock()
	fresh := now.Sub(v.checkedAt) < maxAge
	v.mu.Unlock()
	if fresh {
		return v, nil
	}
	v, _, err := d.renew(ctx, tenant, v)
	return v, err
}

// renew gives the view of the tenant as it is now: the same one if nothing has changed.
func (d *directory) renew(ctx context.Context, tenant string, v *view) (_ *view, changed bool, err error) {
	now := d.service.Now()
	versions, err := d.service.Store.TenantVersions(ctx, []string{tenant})
	if err != nil {
		return nil, false, err
	}
	if version, ok := versions[tenant]; !ok || version != v.version {
		v, err = d.load(ctx, tenant)
		return v, true, err
	}
	v.mu.Lock()
	v.checkedAt = now
	v.mu.Unlock()
	return v, false, nil
}

// load reads the tenant from the database; callers at once share the reading.
func (d *directory) load(ctx context.Context, tenant string) (*view, error) {
	loaded, err, _ := d.loads.Do(tenant, func() (any, error) { return d.read(context.WithoutCancel(ctx), tenant) })
	if err != nil {
		d.forget(tenant)
		return nil, err
	}
	return loaded.(*view), nil
}

func (d *directory) read(ctx context.Context, tenant string) (*view, error) {
	now := d.service.Now()
	webhooks, version, err := d.service.Store.AllWebhooks(ctx, tenant)
	if err != nil {
		return nil, known(err, "tenant")
	}
	types, err := d.service.Store.EventTypes(ctx, tenant)
	if err != nil {
		return nil, err
	}
	keys, err := d.service.Store.APIKeys(ctx, tenant)
	if err != nil {
		return nil, err
	}
	v := &view{version: version, keys: make(map[string]models.APIKey, len(keys)), checkedAt: now, webhooks: make(map[string]*entry, len(webhooks)),
		exact: map[string][]*entry{}, types: make(map[string]*eventType, len(types))}
	for i := range webhooks {
		e := &entry{webhook: webhooks[i]}
		v.webhooks[e.webhook.ID] = e
		v.file(e)
	}
	for _, key := range keys {
		v.keys[string(key.Hash)] = key
	}
	for i := range types {
		v.types[types[i].Name] = &eventType{EventType: types[i]}
	}
	d.views.Add(tenant, v)
	return v, nil
}

// file puts a webhook where matching finds it.
func (v *view) file(e *entry) {
	for _, pattern := range e.webhook.EventTypes {
		if pattern[len(pattern)-1] == '*' {
			v.patterns = append(v.patterns, e)
			return
		}
	}
	if len(e.webhook.EventTypes) == 0 {
		v.patterns = append(v.patterns, e)
		return
	}
	for _, name := range e.webhook.EventTypes {
		v.exact[name] = append(v.exact[name], e)
	}
}

// match gives the webhooks that want events of this type, without looking at the others.
func (v *view) match(eventType string) []*entry {
	matched := append([]*entry(nil), v.exact[eventType]...)
	for _, e := range v.patterns {
		if e.webhook.Wants(eventType) {
			matched = append(matched, e)
		}
	}
	return matched
}
