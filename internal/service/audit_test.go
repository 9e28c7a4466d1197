package service_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// TestAuditLog_EveryFieldOfAWebhookIsLogged changes one field of WebhookChange at a time, and expects it in the audit log. A new
// field that faceOf leaves out would be stored without an entry.
func TestAuditLog_EveryFieldOfAWebhookIsLogged(t *testing.T) {
	t.Parallel()
	noSettings := []string{"Profile", "Only", "By", "Wrong"} // only for new webhooks, or about the caller
	for _, field := range reflect.VisibleFields(reflect.TypeFor[service.WebhookChange]()) {
		if slices.Contains(noSettings, field.Name) {
			continue
		}
		t.Run(field.Name, func(t *testing.T) {
			t.Parallel()
			changed, ok := map[string]struct {
				change service.WebhookChange
				logged string
			}{
				"URL":          {service.WebhookChange{URL: new("https://other.example/")}, "url"},
				"EventTypes":   {service.WebhookChange{EventTypes: &[]string{"order.created"}}, "event_types"},
				"Name":         {service.WebhookChange{Name: new("n")}, "name"},
				"Description":  {service.WebhookChange{Description: new("d")}, "description"},
				"UID":          {service.WebhookChange{UID: new("u")}, "uid"},
				"Channels":     {service.WebhookChange{Channels: &[]string{"c"}}, "channels"},
				"Metadata":     {service.WebhookChange{Metadata: &map[string]string{"plan": "gold"}}, "metadata"},
				"Secret":       {service.WebhookChange{Secret: new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}, "secret"},
				"Headers":      {service.WebhookChange{Headers: &map[string]string{"X-A": "b"}}, "headers"},
				"PatchHeaders": {service.WebhookChange{PatchHeaders: map[string]*string{"X-A": new("b")}}, "headers"},
				"Active":       {service.WebhookChange{Active: new(false)}, "status"},
				"Retry":        {service.WebhookChange{Retry: &models.Retry{Backoff: 3}}, "retry"},
				"Timeout":      {service.WebhookChange{Timeout: new(time.Second)}, "timeout"},
				"MaxInFlight":  {service.WebhookChange{MaxInFlight: new(5)}, "max_in_flight"},
				"RateLimit":    {service.WebhookChange{RateLimit: new(5.0)}, "rate_limit"},
				"Settings":     {service.WebhookChange{Settings: map[string]string{"a": "b"}}, "settings"},
			}[field.Name]
			require.True(t, ok, "say how %s is changed, and under which name the audit log has it", field.Name)
			require.False(t, reflect.ValueOf(changed.change).FieldByIndex(field.Index).IsZero())
			env := servicetest.New(t)
			env.Tenant("acme")
			env.EventTypes("order.created")
			webhook := env.Webhook("acme", "https://shop.example/")
			_, err := env.Service.UpdateWebhook(t.Context(), "acme", webhook.ID, changed.change)
			require.NoError(t, err)
			log, _, err := env.Store.AuditLog(t.Context(), models.AuditFilter{}, models.Page{Limit: 1})
			require.NoError(t, err)
			require.Equal(t, webhook.ID, log[0].TargetID)
			require.Contains(t, log[0].Changes, changed.logged)
		})
	}
}
