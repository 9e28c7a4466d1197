package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/internal/service"
)

// OfAnyTenant is the filter of a list over all tenants.
type OfAnyTenant struct {
	Tenant string `query:"tenant" maxLength:"256" doc:"Only this tenant." example:"acme"`
}

type allWebhooks struct {
	OfAnyTenant
	WebhookParams
}

type allDeliveries struct {
	OfAnyTenant
	DeliveryParams
}

type allRecoveries struct {
	OfAnyTenant
	RecoveryParams
}

// overall adds the lists over all tenants, for admins.
func (s *server) overall() {
	handle(s, admins, huma.Operation{
		OperationID: "list-all-webhooks", Method: http.MethodGet, Path: "/v1/webhooks", Tags: []string{tagWebhooks}, Summary: "List the webhooks of all tenants, oldest first",
	}, s.listAllWebhooks)
	handle(s, admins, huma.Operation{
		OperationID: "list-all-deliveries", Method: http.MethodGet, Path: "/v1/deliveries", Tags: []string{tagDeliveries}, Summary: "List the deliveries of all tenants, newest first",
	}, s.listAllDeliveries)
	handle(s, admins, huma.Operation{
		OperationID: "list-all-recoveries", Method: http.MethodGet, Path: "/v1/recoveries", Tags: []string{tagRecoveries}, Summary: "List the recoveries of all tenants, newest first",
	}, s.listAllRecoveries)
}

// noTenant is an id that no tenant has.
const noTenant = "~"

// tenantFilter returns the id of the tenant to filter by: "" for all tenants, noTenant for an unknown one.
func (s *server) tenantFilter(ctx context.Context, in OfAnyTenant) (string, error) {
	if in.Tenant == "" {
		return "", nil
	}
	id, err := s.Service.TenantID(ctx, caller(ctx), in.Tenant)
	if refused, ok := errors.AsType[*service.Error](err); ok && refused.Code == service.NotFound {
		return noTenant, nil
	}
	return id, err
}

// webhookFilter returns the id of the webhook to filter by. The caller gives its id or, within a tenant, its uid.
func (s *server) webhookFilter(ctx context.Context, tenant, name string) (string, error) {
	if tenant == "" {
		return name, nil
	}
	return s.Service.WebhookID(ctx, tenant, name)
}

func (s *server) listAllWebhooks(ctx context.Context, in *allWebhooks) (*answer[list[Webhook]], error) {
	tenant, err := s.tenantFilter(ctx, in.OfAnyTenant)
	if err != nil {
		return nil, err
	}
	return s.webhooksOf(ctx, tenant, in.WebhookParams)
}

func (s *server) listAllDeliveries(ctx context.Context, in *allDeliveries) (*answer[list[Delivery]], error) {
	tenant, err := s.tenantFilter(ctx, in.OfAnyTenant)
	if err != nil {
		return nil, err
	}
	return s.deliveriesOf(ctx, tenant, in.DeliveryParams)
}

func (s *server) listAllRecoveries(ctx context.Context, in *allRecoveries) (*answer[list[Recovery]], error) {
	tenant, err := s.tenantFilter(ctx, in.OfAnyTenant)
	if err != nil {
		return nil, err
	}
	return s.recoveriesOf(ctx, tenant, in.RecoveryParams)
}
