package service

import (
	"context"

	"github.com/posthorn/posthorn/models"
)

// The most webhooks and keys that a tenant's own limits can allow.
const (
	MostWebhooks = 1_000_000
	MostKeys     = 100_000
)

// TenantChange is what a request sets of a tenant; nil leaves it as it is.
type TenantChange struct {
	Name        *string
	UID         *string // "" = none
	Metadata    *map[string]string
	AdminEmails *[]string
	MaxWebhooks *Limit
	MaxKeys     *Limit
}

// Limit is a limit of a tenant's own. Most nil = the installation's.
type Limit struct{ Most *int64 }

// UpdateTenant changes what c names. A limit below what the tenant has removes nothing: it only stops new ones.
func (s *Service) UpdateTenant(ctx context.Context, id string, c TenantChange) (models.Tenant, error) {
	t, err := s.Store.UpdateTenant(ctx, id, func(t *models.Tenant) error {
		set(&t.Name, c.Name)
		set(&t.UID, c.UID)
		if c.Metadata != nil {
			t.Metadata = cloned(*c.Metadata)
		}
		if c.AdminEmails != nil {
			t.AdminEmails = append([]string{}, *c.AdminEmails...)
		}
		var p problems
		checkTenant(&p, t)
		checkUID(&p, t.UID)
		checkLimit(&p, "limits.webhooks", &t.MaxWebhooks, c.MaxWebhooks, MostWebhooks)
		checkLimit(&p, "limits.keys", &t.MaxKeys, c.MaxKeys, MostKeys)
		return p.err()
	})
	return t, known(err, "tenant")
}

func checkLimit(p *problems, field string, to **int64, from *Limit, most int64) {
	if from == nil {
		return
	}
	if from.Most != nil && (*from.Most < 0 || *from.Most > most) {
		p.addf(field, "must be from 0 to %d", most)
	}
	*to = from.Most
}
