package main

import (
	"context"
	"fmt"
	"net"

	"github.com/posthorn/posthorn/devserver"
	"github.com/posthorn/posthorn/internal/cli"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// seed makes the tenant and the event types that the first curl needs. It leaves existing ones as they are.
func seed(ctx context.Context, s *service.Service) error {
	if _, err := s.Store.TenantBySlug(ctx, "demo"); err == nil {
		return nil
	}
	if _, _, err := s.PutTenant(ctx, models.Tenant{ID: "demo", Name: "Demo"}); err != nil {
		return err
	}
	for _, t := range []models.EventType{
		{Name: "order.created", Description: "An order was placed", Example: `{"order_id":42,"total":"19.90"}`},
		{Name: "order.shipped", Description: "An order has left the warehouse", Example: `{"order_id":42,"carrier":"posthorn"}`},
	} {
		if _, err := s.PutEventType(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (c *DevCommand) welcome(env cli.Environment, addr net.Addr, server *devserver.Server, signIn string) {
	url := "http://" + addr.String()
	_, _ = fmt.Fprintf(env.Out, `
Posthorn is ready.

  Console      %[1]s%[6]s
               (signs you in once, on this machine; later with the admin key)
  API          %[1]s        (reference: %[1]s/docs)
  Temporal UI  %[2]s
  Temporal     %[3]s
  Admin key    %[4]s
  Data         %[5]s

Start a receiver in another terminal:    bin/posthorn listen

Then register it, and post an event:

  curl -s %[1]s/v1/tenants/demo/webhooks -H 'Authorization: Bearer %[4]s' \
    -H 'Content-Type: application/json' -d '{"url":"http://127.0.0.1:9000/","event_types":["order.*"]}'

  curl -s %[1]s/v1/tenants/demo/events -H 'Authorization: Bearer %[4]s' \
    -H 'Content-Type: application/json' -d '{"type":"order.created","data":{"order_id":42,"total":"19.90"}}'

  curl -s %[1]s/v1/tenants/demo/deliveries -H 'Authorization: Bearer %[4]s'

`, url, server.UIURL(), server.FrontendAddr(), c.AdminKey.Reveal(), c.Data, signIn)
}
