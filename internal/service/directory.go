package service

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/posthorn/posthorn/models"
)

// directory keeps in memory what publishing and sending need to know about tenants: their webhooks by event type,
// their event types and their keys, and once for all of them the event types that all tenants share. A view is valid
// as long as the tenant's version stays the same. Accepting checks the version in its own transaction; sending checks
// it if the view is older than maxAge. An outdated view is updated with the changes since.
type directory struct {
	service *Service
	loads   singleflight.Group
	views   *viewCache
	shared  atomic.Pointer[sharedTypes]
}

// maxAge is how long sending trusts a view: the longest time for which a worker may go on sending to a webhook that
// was disabled through another process.
const maxAge = time.Second

// snapshot is the known state of a tenant: its own things, and those that all tenants share.
type snapshot struct {
	*view
	shared *sharedTypes
}

// eventType returns the tenant's type with this name, nil if there is none. Its own type takes precedence over a
// shared one.
func (s snapshot) eventType(name string) *eventType {
	if t, ok := s.types[name]; ok {
		return t
	}
	return s.shared.types[name]
}

func newDirectory(s *Service) *directory {
	return &directory{service: s, views: newViewCache(maxViewBytes)}
}

// forget makes the next caller compare the tenant's view with the database: something has been changed here.
func (d *directory) forget(tenant string) {
	if v, ok := d.views.Get(tenant); ok {
		v.checked(time.Time{})
	}
}

// cached returns the tenant's snapshot however old it is, for callers that check its version themselves.
func (d *directory) cached(ctx context.Context, tenant string) (snapshot, error) {
	v, ok := d.views.Get(tenant)
	if shared := d.shared.Load(); ok && shared != nil && !v.checkedAt().IsZero() {
		return snapshot{v, shared}, nil
	}
	return d.load(ctx, tenant)
}

// current returns a view of the tenant that was correct at most maxAge ago.
func (d *directory) current(ctx context.Context, tenant string) (*view, error) {
	if v, ok := d.views.Get(tenant); ok && d.service.Now().Sub(v.checkedAt()) < maxAge {
		return v, nil
	}
	s, err := d.load(ctx, tenant)
	return s.view, err
}

// renew returns the tenant's current snapshot; changed reports whether it differs from old.
func (d *directory) renew(ctx context.Context, tenant string, old snapshot) (_ snapshot, changed bool, err error) {
	s, err := d.load(ctx, tenant)
	return s, err == nil && (s.version != old.version || s.shared.version != old.shared.version), err
}

// load compares the tenant's view with the database, and reads the changes.
func (d *directory) load(ctx context.Context, tenant string) (snapshot, error) {
	v, known := d.views.Get(tenant) // read before the versions, so it is not newer than they are
	now := d.service.Now()
	versions, err := d.service.Store.TenantVersions(ctx, []string{tenant})
	if err != nil {
		return snapshot{}, err
	}
	version, ok := versions[tenant]
	if !ok {
		d.views.remove(tenant)
		return snapshot{}, Refuse(NotFound, "there is no such tenant")
	}
	shared, err := d.loadShared(ctx, versions[""])
	if err != nil {
		return snapshot{}, err
	}
	if !known || v.version != version {
		if v, err = d.loadView(ctx, tenant, version, known && v.version > version); err != nil {
			return snapshot{}, err
		}
	}
	v.checked(now)
	return snapshot{v, shared}, nil
}

// loadView returns a view of the tenant with the version or a later one. Concurrent callers share the reading.
// With force, it ignores the view in memory. The database may have gone back behind that view: a backup was restored.
func (d *directory) loadView(ctx context.Context, tenant string, version int64, force bool) (*view, error) {
	loaded, err, _ := d.loads.Do(tenant+"/"+strconv.FormatInt(version, 10), func() (any, error) {
		old, ok := d.views.Get(tenant)
		switch {
		case !ok || force:
			old = &view{version: -1}
		case old.version >= version:
			return old, nil
		}
		v, err := d.read(context.WithoutCancel(ctx), tenant, version, old)
		if err == nil {
			d.views.add(tenant, v, force)
		}
		return v, err
	})
	if err != nil {
		return nil, err
	}
	return loaded.(*view), nil
}

// read makes a view of the tenant from an older one and the changes since its version; at version -1 the older one is
// empty. Changes made during the read have a later version, and are read again next time.
func (d *directory) read(ctx context.Context, tenant string, version int64, old *view) (*view, error) {
	var webhooks []models.Webhook
	var err error
	if old.version < 0 {
		webhooks, _, err = d.service.Store.AllWebhooks(ctx, tenant)
	} else {
		webhooks, err = d.service.Store.WebhooksSince(ctx, tenant, old.version)
	}
	if err != nil {
		return nil, known(err, "tenant")
	}
	schemas, err := d.service.Store.Schemas(ctx, tenant)
	if err != nil {
		return nil, err
	}
	keys, err := d.service.Store.APIKeys(ctx, tenant)
	if err != nil {
		return nil, err
	}
	rate, err := d.service.Store.TenantRate(ctx, tenant)
	if err != nil {
		return nil, err
	}
	v := old.next(version, webhooks, schemas, keys)
	v.rate = rate
	return v, nil
}

// loadShared returns the event types that all tenants share, with the version or a later one.
func (d *directory) loadShared(ctx context.Context, version int64) (*sharedTypes, error) {
	if s := d.shared.Load(); s != nil && s.version == version {
		return s, nil
	}
	loaded, err, _ := d.loads.Do("/"+strconv.FormatInt(version, 10), func() (any, error) {
		schemas, err := d.service.Store.Schemas(context.WithoutCancel(ctx), "")
		if err != nil {
			return nil, err
		}
		old := d.shared.Load()
		s := &sharedTypes{version: version}
		if old != nil {
			s.types = typesOf(schemas, old.types)
		} else {
			s.types = typesOf(schemas, nil)
		}
		d.shared.CompareAndSwap(old, s)
		return s, nil
	})
	if err != nil {
		return nil, err
	}
	return loaded.(*sharedTypes), nil
}
