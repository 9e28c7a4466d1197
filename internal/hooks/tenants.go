package hooks

import (
	"context"
	"net/mail"
	"regexp"

	"github.com/posthorn/posthorn/models"
)

// tenantID is what a tenant may be called: it stands in paths, workflow ids and search attributes.
var tenantID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// PutTenant creates a tenant or replaces its name and its administrators' addresses.
func (s *Service) PutTenant(ctx context.Context, t models.Tenant) (_ models.Tenant, created bool, err error) {
	var p problems
	if !tenantID.MatchString(t.ID) {
		p.addf("tenant", "must be 1 to 64 letters, digits, dots, dashes or underscores, and begin with a letter or digit")
	}
	checkLength(&p, "name", t.Name, 200)
	if len(t.AdminEmails) > 20 {
		p.addf("admin_emails", "must be at most 20")
	}
	for i, address := range t.AdminEmails {
		if parsed, err := mail.ParseAddress(address); err != nil || parsed.Address != address || len(address) > 254 {
			p.addf(index("admin_emails", i), "is not an e-mail address")
		}
	}
	if err := p.err(); err != nil {
		return t, false, err
	}
	if t.AdminEmails == nil {
		t.AdminEmails = []string{}
	}
	created, err = s.Store.PutTenant(ctx, &t)
	return t, created, err
}

// Tenant reads one tenant.
func (s *Service) Tenant(ctx context.Context, id string) (models.Tenant, error) {
	t, err := s.Store.Tenant(ctx, id)
	return t, known(err, "tenant")
}

// Tenants lists all tenants.
func (s *Service) Tenants(ctx context.Context, page models.Page) ([]models.Tenant, string, error) {
	rows, next, err := s.Store.Tenants(ctx, page)
	return rows, next, known(err, "tenant")
}

// DeleteTenant removes a tenant with everything it owns. What is owed to its webhooks is not sent any more.
func (s *Service) DeleteTenant(ctx context.Context, id string) error {
	err := known(s.Store.DeleteTenant(ctx, id), "tenant")
	s.directory.forget(id)
	return err
}
