package service

import (
	"context"
	"slices"

	"github.com/posthorn/posthorn/models"
)

// The largest values of a tenant's own limits.
const (
	MostWebhooks = 1_000_000
	MostKeys     = 100_000
)

// TenantChange is a change of a tenant; nil leaves a field as it is.
type TenantChange struct {
	Name        *string
	UID         *string // "" = none
	Metadata    *map[string]string
	AdminEmails *[]string
	MaxWebhooks *Limit
	MaxKeys     *Limit
	RateLimit   *float64 // 0 = none
}

// Limit is a tenant's own limit. Most nil = the installation's.
type Limit struct{ Most *int64 }

// UpdateTenant changes the fields that c sets. A limit below the current number removes nothing: it only stops new
// ones. wrong holds errors that the caller has found already: the request is refused with them and all others.
func (s *Service) UpdateTenant(ctx context.Context, id string, c TenantChange, wrong ...FieldError) (models.Tenant, error) {
	t, err := s.Store.UpdateTenant(ctx, id, func(t *models.Tenant) error {
		set(&t.Name, c.Name)
		set(&t.UID, c.UID)
		if c.Metadata != nil {
			t.Metadata = cloned(*c.Metadata)
		}
		if c.AdminEmails != nil {
			t.AdminEmails = append([]string{}, *c.AdminEmails...)
		}
		if c.RateLimit != nil {
			t.RateLimit = *c.RateLimit
		}
		p := problems(slices.Clone(wrong)) // a transaction may run again
		checkTenant(&p, t)
		checkUID(&p, t.UID)
		checkLimit(&p, "limits.webhooks", &t.MaxWebhooks, c.MaxWebhooks, MostWebhooks)
		checkLimit(&p, "limits.keys", &t.MaxKeys, c.MaxKeys, MostKeys)
		return p.err()
	})
	s.directory.forget(id)
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
