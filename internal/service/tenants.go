package service

import (
	"context"
	"errors"
	"regexp"

	"github.com/posthorn/posthorn/internal/notify"
	"github.com/posthorn/posthorn/models"
)

// tenantSlug is the form of a tenant's name: it is used in paths, workflow ids and search attributes.
var tenantSlug = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// IsTenantSlug reports whether name is a possible slug of a tenant.
func IsTenantSlug(name string) bool { return tenantSlug.MatchString(name) }

// PutTenant creates the tenant with the slug t.ID, or replaces its name, its metadata and its administrators'
// addresses. The returned tenant has the id to which everything belongs: it differs from the slug if an earlier tenant
// had that name. Only a new tenant gets t.UID and t.RateLimit. wrong is what the caller has already found wrong: the refusal contains
// it too.
func (s *Service) PutTenant(ctx context.Context, t models.Tenant, wrong ...FieldError) (_ models.Tenant, created bool, err error) {
	p := problems(wrong)
	if !IsTenantSlug(t.ID) && t.ID != models.OperationalTenant {
		p.addf("tenant", "must be 1 to 64 letters, digits, dots, dashes or underscores, and begin with a letter or digit")
	}
	checkTenant(&p, &t)
	checkUID(&p, t.UID)
	if err := p.err(); err != nil {
		return t, false, err
	}
	if t.AdminEmails == nil {
		t.AdminEmails = []string{}
	}
	t.Slug, t.Metadata = t.ID, cloned(t.Metadata)
	created, err = s.Store.PutTenant(ctx, &t)
	return t, created, known(err, "tenant")
}

// checkTenant checks a tenant's name and its administrators' addresses.
func checkTenant(p *problems, t *models.Tenant) {
	checkLength(p, "name", t.Name, 200)
	checkMetadata(p, t.Metadata)
	checkRate(p, "limits.rate", t.RateLimit)
	if len(t.AdminEmails) > 20 {
		p.addf("admin_emails", "must be at most 20")
	}
	for i, address := range t.AdminEmails {
		if _, err := notify.ASCIIAddress(address); err != nil {
			p.addf(index("admin_emails", i), "%s", err)
		}
	}
}

// TenantID returns the id of the tenant that the principal names by its slug or uid. NotFound if the principal may not
// know of such a tenant.
func (s *Service) TenantID(ctx context.Context, p Principal, slug string) (string, error) {
	if p.Role != models.RoleAdmin && models.TenantSlug(p.Tenant) == slug {
		return p.Tenant, nil
	}
	if p.Role == models.RoleAdmin {
		t, err := s.Store.TenantBySlug(ctx, slug)
		if err == nil {
			s.ids.Add(slug, t.ID)
		}
		if !errors.Is(err, models.ErrNotFound) {
			return t.ID, err
		}
	}
	if !isUID(slug) {
		return "", Refuse(NotFound, "there is no such tenant")
	}
	t, err := s.Store.TenantByUID(ctx, slug) // not kept in memory: a uid is free as soon as another one is set
	if err == nil && p.Role != models.RoleAdmin && t.ID != p.Tenant {
		err = models.ErrNotFound
	}
	return t.ID, known(err, "tenant")
}

// PublisherTenantID is TenantID from memory, for publishing. The tenant with the id in memory may have been deleted by
// another process: Publish finds that out.
func (s *Service) PublisherTenantID(ctx context.Context, p Principal, slug string) (string, error) {
	if id, ok := s.ids.Get(slug); ok && p.Role == models.RoleAdmin {
		return id, nil
	}
	return s.TenantID(ctx, p, slug)
}

// Tenant reads one tenant.
func (s *Service) Tenant(ctx context.Context, id string) (models.Tenant, error) {
	t, err := s.Store.Tenant(ctx, id)
	return t, known(err, "tenant")
}

// Tenants lists all tenants.
func (s *Service) Tenants(ctx context.Context, page models.Page) ([]models.Tenant, string, error) {
	return readPage(ctx, s, "tenant", func(ctx context.Context, store *models.Store) ([]models.Tenant, string, error) {
		return store.Tenants(ctx, page)
	})
}

// DeleteTenant deletes a tenant at once; everything it owns follows in pages. Nothing more is sent to its webhooks.
func (s *Service) DeleteTenant(ctx context.Context, id string) error {
	err := known(s.Store.DeleteTenant(ctx, id), "tenant")
	s.ids.Remove(models.TenantSlug(id))
	s.directory.views.remove(id)
	return err
}
