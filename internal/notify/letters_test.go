package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func webhookMail() WebhookMail {
	return WebhookMail{
		Tenant: "acme", TenantName: "Acme & Söhne", WebhookID: "wh_1", WebhookName: "orders", URL: "https://hooks.acme.example/in?token=hunter2",
		Reason: "3000 receptions failed", Failed: 1500, Threshold: 3000,
		LastFailureAt: time.Date(2026, 11, 21, 21, 5, 6, 0, time.FixedZone("CET", 3600)), LastStatus: 503, LastError: "503 Service Unavailable",
		Link: "https://posthorn.example/v1/tenants/acme/webhooks/wh_1?a=1&b=2", To: []string{"a@acme.example"}, NotificationID: "ntf_1",
	}
}

func TestWebhookMail_Warning(t *testing.T) {
	t.Parallel()
	got := WebhookWarning(webhookMail())
	require.Equal(t, []string{"a@acme.example"}, got.To)
	require.Equal(t, "ntf_1", got.MessageID)
	require.Equal(t, `Webhook "orders" is failing: 1500 of 3000 failures until it is deactivated`, got.Subject)
	require.Equal(t, `The webhook "orders" of Acme & Söhne is failing.

1500 deliveries to it have failed. After 3000 failures it will be deactivated. Its deliveries are then
held until it is enabled again. Please check the receiver.

Webhook:      wh_1
Tenant:       acme
Sends to:     https://hooks.acme.example/in
Failures:     1500 of 3000
Last failure: 21 November 2026, 20:05:06 UTC
Status:       503
Error:        503 Service Unavailable

Open the webhook: https://posthorn.example/v1/tenants/acme/webhooks/wh_1?a=1&b=2
`, got.Text)
	require.Contains(t, got.HTML, "<strong>orders</strong> of Acme &amp; Söhne is failing.")
	require.Contains(t, got.HTML, `<a href="https://posthorn.example/v1/tenants/acme/webhooks/wh_1?a=1&amp;b=2">`)
}

func TestWebhookMail_Deactivated(t *testing.T) {
	t.Parallel()
	got := WebhookDeactivated(webhookMail())
	require.Equal(t, `Webhook "orders" was deactivated`, got.Subject)
	const body = "No more deliveries are sent to it. Nothing is lost: its deliveries are held. When the receiver\nworks again, enable the webhook and recover its deliveries."
	require.Contains(t, got.Text, "failed.\n\n"+body+"\n\nWebhook:")
	require.Contains(t, got.HTML, "<p>"+body+"</p>")
	for _, form := range []string{got.Text, got.HTML} {
		require.Contains(t, form, "was deactivated because 3000 receptions failed.")
		require.Contains(t, form, "21 November 2026, 20:05:06 UTC")
		require.NotContains(t, form, "hunter2")
	}
}

func TestWebhookMail_WithLittleKnown(t *testing.T) {
	t.Parallel()
	data := WebhookMail{Tenant: "acme", WebhookID: "wh_1", URL: "https://hooks.acme.example/in", Threshold: 10}
	got := WebhookDeactivated(data)
	require.Equal(t, `Webhook "hooks.acme.example" was deactivated`, got.Subject)
	for _, form := range []string{got.Text, got.HTML} {
		require.Contains(t, form, "of acme was deactivated.")
		for _, absent := range []string{"Last failure", "Status", "Error", "Open the", "0001", "href"} {
			require.NotContains(t, form, absent)
		}
	}
	data.URL = "://"
	require.Equal(t, `Webhook "wh_1" was deactivated`, WebhookDeactivated(data).Subject)
}

func TestWebhookMail_IsSafeFromItsData(t *testing.T) {
	t.Parallel()
	data := webhookMail()
	data.WebhookName = "x\r\nBcc: evil@example.com\n<script>alert(1)</script>"
	data.TenantName = "<img src=x>\x00\u2028"
	data.LastError = strings.Repeat("é\n", 10_000)
	data.Link = "javascript:alert(1)"
	for _, got := range []Mail{WebhookWarning(data), WebhookDeactivated(data)} {
		require.NotContains(t, got.Subject, "\n")
		require.NotContains(t, got.Text, "\nBcc:")
		require.NotContains(t, got.Text, "\x00")
		require.NotContains(t, got.HTML, "<script>")
		require.NotContains(t, got.HTML, "<img")
		require.NotContains(t, got.HTML, `"javascript:`)
		require.Less(t, len(got.Text), 4000)
	}
}
