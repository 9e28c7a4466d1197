package service

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/posthorn/posthorn/models"
)

// directory keeps what publishing and sending need to know of tenants in memory: their webhooks by event type, their
// event types and their keys, and once for all of them the event types that all tenants share. A view is good while the
// tenant's version stays the same. Accepting checks the version in its own transaction; sending looks at it again when
// the view is older than maxAge. A view that is too old is brought up to date by what has changed since.
type directory struct {
	service *Service
	loads   singleflight.Group
	views   *viewCache
	shared  atomic.Pointer[sharedTypes]
}

// maxAge is for how long sending trusts a view: the longest a worker may go on sending to a webhook that was
// disabled through another process.
const maxAge = time.Second

// snapshot is what is known of a tenant: what is its own, and what all tenants share.
type snapshot struct {
	*view
	shared *sharedTypes
}

// eventType gives the type that the tenant knows by this name, nil if none: its own goes before a shared one.
func (s snapshot) eventType(name string) *eventType {
	if t, ok := s.types[name]; ok {
		return t
	}
	return s.shared.types[name]
}

func newDirectory(s *Service) *directory {
	return &directory{service: s, views: newViewCache(maxViewBytes)}
}

// forget makes the next to ask compare what is known of a tenant with the database: something has been changed here.
func (d *directory) forget(tenant string) {
	if v, ok := d.views.Get(tenant); ok {
		v.checked(time.Time{})
	}
}

// cached gives what is known of the tenant however old it is, for callers who check its version themselves.
func (d *directory) cached(ctx context.Context, tenant string) (snapshot, error) {
	v, ok := d.views.Get(tenant)
	if shared := d.shared.Load(); ok && shared != nil && !v.checkedAt().IsZero() {
		return snapshot{v, shared}, nil
	}
	return d.load(ctx, tenant)
}

// current gives a view of the tenant that was right at most maxAge ago.
func (d *directory) current(ctx context.Context, tenant string) (*view, error) {
	if v, ok := d.views.Get(tenant); ok && d.service.Now().Sub(v.checkedAt()) < maxAge {
		return v, nil
	}
	s, err := d.load(ctx, tenant)
	return s.view, err
}

// renew gives what is known of the tenant now; changed reports whether that is something else.
func (d *directory) renew(ctx context.Context, tenant string, old snapshot) (_ snapshot, changed bool, err error) {
	s, err := d.load(ctx, tenant)
	return s, err == nil && (s.version != old.version || s.shared.version != old.shared.version), err
}

// load compares what is known of the tenant with the database, and reads what has changed.
func (d *directory) load(ctx context.Context, tenant string) (snapshot, error) {
	v, known := d.views.Get(tenant) // before the versions: it is no newer than they are
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

// loadView gives a view of the tenant that is of the version or a later one; callers at once share the reading. anew
// leaves aside what is in memory: the database has gone back behind it, as when a backup was restored.
func (d *directory) loadView(ctx context.Context, tenant string, version int64, anew bool) (*view, error) {
	loaded, err, _ := d.loads.Do(tenant+"/"+strconv.FormatInt(version, 10), func() (any, error) {
		old, ok := d.views.Get(tenant)
		switch {
		case !ok || anew:
			old = &view{version: -1}
		case old.version >= version:
			return old, nil
		}
		v, err := d.read(context.WithoutCancel(ctx), tenant, version, old)
		if err == nil {
			d.views.add(tenant, v, anew)
		}
		return v, err
	})
	if err != nil {
		return nil, err
	}
	return loaded.(*view), nil
}

// read makes a view of the tenant out of an older one and what has changed since; of version -1 there is nothing.
// Whatever changes while it reads is of a later version, and read once more the next time.
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
	return old.next(version, webhooks, schemas, keys), nil
}

// loadShared gives the event types that all tenants share, of the version or a later one.
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
