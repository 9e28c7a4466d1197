package service

import (
	"context"
	"errors"

	"github.com/posthorn/posthorn/models"
)

// OperationalTenant returns the id of the tenant whose webhooks get the operational events about the webhooks of all tenants;
// "" if there is none.
func (s *Service) OperationalTenant(ctx context.Context) (string, error) {
	t, err := s.Store.TenantBySlug(ctx, models.OperationalTenant)
	if errors.Is(err, models.ErrNotFound) {
		return "", nil
	}
	return t.ID, err
}

// MakeOperationalTenant is OperationalTenant, and makes the tenant if there is none.
func (s *Service) MakeOperationalTenant(ctx context.Context) (string, error) {
	if id, err := s.OperationalTenant(ctx); id != "" || err != nil {
		return id, err
	}
	t, _, err := s.PutTenant(ctx, models.Tenant{ID: models.OperationalTenant, Name: "Operational events of all tenants"})
	return t.ID, err
}
