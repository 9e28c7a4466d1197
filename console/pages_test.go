package console_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// answers takes every POST.
type answers struct{}

func (answers) Post(context.Context, sender.Request) sender.Result {
	return sender.Result{StartedAt: time.Now(), StatusCode: http.StatusOK, Outcome: sender.Received, Body: []byte("thank <you>")}
}

func TestPages_AWebhookIsLookedAfter(t *testing.T) {
	t.Parallel()
	s := newSite(t, servicetest.WithPoster(answers{}))
	b := s.signedIn(s.key)
	form := b.get("/portal/webhooks").follows("Create one").is(http.StatusOK)
	typed := map[string]string{"URL": "ftp://shop.example", "Name": `Shop "1"`, "order.created": "yes", "More event types": "nothing.*", "Headers": "X-Token: s3cret", "Retries": "many"}
	again := form.press("Create webhook", typed).is(http.StatusUnprocessableEntity)
	require.Equal(t, `Shop "1"`, attribute(again.field(again.root, "Name"), "value"))
	require.Equal(t, "many", attribute(again.field(again.root, "Retries"), "value"))
	require.Equal(t, "nothing.*", rawText(again.field(again.root, "More event types")))
	wrong := 0
	for _, n := range all(again.root, "span") {
		if attribute(n, "role") == "alert" {
			wrong++
		}
	}
	require.GreaterOrEqual(t, wrong, 3, "each beside its field: %s", again.text(again.root))

	made := again.press("Create webhook", map[string]string{"URL": "https://shop.example/hook?token=t0ken", "More event types": "order.*", "Retries": "3"}).is(http.StatusCreated)
	secret := attribute(made.field(made.root, "Signing secret"), "value")
	require.Regexp(t, `^whsec_`, secret)
	require.Contains(t, made.body, "standardwebhooks")
	address := made.link("Webhook")
	page := b.get(address).is(http.StatusOK)
	require.Equal(t, `Shop "1"`, page.title())
	require.NotContains(t, page.body, secret)
	require.NotContains(t, page.body, "s3cret")
	require.Contains(t, page.text(page.root), "0 of 3,000 failed receptions")
	require.Contains(t, page.text(page.root), "3 retries")
	require.Equal(t, []string{"Pause", "Disable", "Recover", "Send test event", "Rotate secret", "Delete"}, page.buttons())

	edited := b.get(page.link("Edit")).is(http.StatusOK).press("Save", map[string]string{"Name": "Shop", "Most deliveries a second": "5"}).follow()
	require.Equal(t, "Shop", edited.title())
	listed := b.get("/portal/webhooks").is(http.StatusOK)
	require.Contains(t, listed.text(listed.root), "at most 5 a second")
	rows, _, err := s.Service.Webhooks(t.Context(), "acme", models.WebhookFilter{}, models.Page{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []string{"order.created", "order.*"}, rows[0].EventTypes)
	require.Equal(t, 3, *rows[0].Retry.Max)

	uid := "shop-1"
	_, err = s.Service.UpdateWebhook(t.Context(), "acme", rows[0].ID, service.WebhookChange{UID: &uid, By: "test"})
	require.NoError(t, err)
	require.Equal(t, "Shop", b.get("/portal/webhooks/"+uid).is(http.StatusOK).title(), "its own id leads to it, too")
	paused := edited.press("Pause", nil).follow()
	require.Contains(t, paused.text(paused.root), "Paused.")
	require.Equal(t, []string{"Resume", "Disable", "Send test event", "Rotate secret", "Delete"}, paused.buttons())
	disabled := paused.press("Resume", nil).follow().press("Disable", nil).follow()
	require.Equal(t, []string{"Enable", "Enable and recover", "Send test event", "Rotate secret", "Delete"}, disabled.buttons())
	recovery := disabled.press("Enable and recover", nil).follow()
	require.Equal(t, []string{"Cancel"}, recovery.buttons())
	require.Contains(t, recovery.press("Cancel", nil).follow().text(recovery.root), "Recovery rec_")
	again = b.get(b.get(address).press("Recover", nil).path).press("Recover", map[string]string{"Held": "", "Failed": "", "Deliveries a second": "fast"}).is(http.StatusUnprocessableEntity)
	require.Contains(t, again.text(again.root), "Choose what to send again.")
	again = again.press("Recover", map[string]string{"Missed": "yes"}).is(http.StatusUnprocessableEntity)
	require.Contains(t, again.text(again.root), "must be a number")
	require.Contains(t, again.press("Recover", map[string]string{"Deliveries a second": "2"}).follow().text(again.root), "Recover")
	tested := b.get(address).press("Send test event", nil).is(http.StatusOK)
	require.Contains(t, tested.text(tested.root), "2 of 2 were received")
	require.Contains(t, tested.text(tested.root), "thank <you>")
	rotated := b.get(address).press("Rotate secret", nil).is(http.StatusOK)
	require.NotEqual(t, secret, attribute(rotated.field(rotated.root, "Signing secret"), "value"))
	require.Contains(t, b.get(address).press("Delete", nil).is(http.StatusOK).press("Delete webhook", nil).follow().body, "Deleted.")
	b.get(address).is(http.StatusNotFound)
}

// follows goes where the link with a name leads.
func (d *document) follows(name string) *document {
	d.t.Helper()
	return d.b.get(d.link(name))
}

func TestPages_DeliveriesAndEvents(t *testing.T) {
	t.Parallel()
	s := newSite(t, servicetest.WithPoster(answers{}))
	things := s.furnish()
	webhook, event, delivery := things.webhook, things.event, things.delivery
	b := s.signedIn(servicetest.AdminKey)
	base := "/console/tenants/acme"
	log := b.get(base + "/deliveries").is(http.StatusOK)
	page := b.get(log.link("order.created dlv_…" + delivery[len(delivery)-12:])).is(http.StatusOK)
	require.Contains(t, page.text(page.root), "Attempt 1,")
	require.Equal(t, []string{"Retry now", "Pause", "Cancel"}, page.buttons())
	held := page.press("Pause", nil).follow()
	require.Equal(t, []string{"Retry now", "Resume", "Cancel"}, held.buttons())
	overview := b.get(base).is(http.StatusOK)
	require.Contains(t, overview.body, delivery)
	held.press("Resume", nil).follow()

	s.Attempt("acme", delivery)
	seen := b.get(base + "/deliveries/" + delivery).is(http.StatusOK)
	require.Contains(t, seen.text(seen.root), `"data":{"order":42}`)
	require.Contains(t, seen.text(seen.root), "POST https://shop.example/hook?token=t0ken")
	require.Contains(t, seen.text(seen.root), " ms, scheduled")
	require.Contains(t, b.get(base+"/deliveries/"+delivery).press("Retry now", nil).follow().body, "The delivery is being sent now.")
	s.Attempt("acme", delivery)
	retried := b.get(base + "/deliveries/" + delivery).is(http.StatusOK)
	require.Equal(t, 1, strings.Count(retried.text(retried.root), " ms, manual"))
	retried.press("Retry now", nil).follow()
	require.Contains(t, b.get(base+"/deliveries/"+delivery).press("Cancel", nil).follow().body, "canceled by admin")
	require.Equal(t, http.StatusConflict, b.post(base+"/deliveries/"+delivery+"/pause", nil).status)

	for query, found := range map[string]bool{"status=canceled": true, "status=held": false, "type=order.paid": false, "webhook=" + webhook: true, "since=2200-01-01T00:00": false, "event=" + event: true} {
		require.Equal(t, found, strings.Contains(b.get(base+"/deliveries?"+query).is(http.StatusOK).body, delivery), query)
	}
	b.get(base + "/deliveries?since=yesterday").is(http.StatusUnprocessableEntity)
	filtered := log.press("Filter", map[string]string{"Event type": "order.paid"}).is(http.StatusOK)
	require.Equal(t, "order.paid", attribute(filtered.field(filtered.root, "Event type"), "value"))

	require.Contains(t, b.get(base+"/events?type=order.created").is(http.StatusOK).body, event)
	shown := b.get(base + "/events/" + event).is(http.StatusOK)
	require.Contains(t, shown.text(shown.root), `{"order":42}`)
	erased := shown.press("Erase the data", nil).follow()
	require.NotContains(t, erased.text(erased.root), `"order"`)
	for range 60 {
		s.Clock.Advance(time.Second)
		s.Publish("acme", "order.paid", `{}`)
	}
	next := b.get(base + "/events?type=order.paid").is(http.StatusOK).follows("Next page").is(http.StatusOK)
	require.Len(t, all(next.root, "tr"), 11, "ten more, and the filter is kept")
}

// An event whose deliveries follow later has matched webhooks.
func TestPages_AnEventWhoseDeliveriesFollow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.furnish()
	s.Engine.SetCrowded(true)
	published, err := s.Service.Publish(t.Context(), "acme", service.PublishRequest{Batch: true,
		Events: slices.Repeat([]service.EventInput{{Type: "order.created", Data: []byte(`{}`)}}, 100)})
	require.NoError(t, err)
	b, path := s.signedIn(servicetest.AdminKey), "/console/tenants/acme/events/"+published[0].ID
	page := b.get(path).is(http.StatusOK)
	require.Contains(t, page.body, "Its deliveries are still being created.")
	require.NotContains(t, page.body, "It matched no webhook.")

	_, err = s.Store.RunBatch(t.Context(), "acme", models.BatchRows)
	require.NoError(t, err)
	page = b.get(path).is(http.StatusOK)
	require.NotContains(t, page.body, "still being created")
	require.NotContains(t, page.body, "It matched no webhook.")
}

// A page that has found nothing among what it looked at leads on, and does not say that there is nothing.
func TestPages_APageThatHasLookedFarLeadsOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.furnish()
	b := s.signedIn(servicetest.AdminKey)
	for range 3 { // more than one page looks at, and fewer than two do
		events := make([]service.EventInput, 900)
		for i := range events {
			events[i] = service.EventInput{Type: "order.created", Data: []byte(`{}`)}
		}
		_, err := s.Service.Publish(t.Context(), "acme", service.PublishRequest{Events: events, Batch: true})
		require.NoError(t, err)
	}
	const further = "Nothing yet"
	for path, none := range map[string]string{
		"/console/deliveries?type=none":                                       "No delivery matches",
		"/console/tenants/acme/deliveries?status=canceled&type=order.created": "No delivery matches",
	} {
		page := b.get(path).is(http.StatusOK)
		if strings.Contains(path, "none") {
			require.Contains(t, page.body, further, path)
			page = page.follows("Next page").is(http.StatusOK)
		}
		require.Contains(t, page.body, none, path)
		require.NotContains(t, page.body, further, path)
	}
}

func TestPages_TenantsKeysAndTypes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(servicetest.AdminKey)
	require.Contains(t, b.get("/console/tenants").press("Create tenant", map[string]string{"Id": "acme"}).is(http.StatusUnprocessableEntity).body, "There is a tenant")
	b.get("/console/tenants").press("Create tenant", map[string]string{"Id": "-"}).is(http.StatusUnprocessableEntity)
	made := b.get("/console/tenants").press("Create tenant", map[string]string{"Id": "initech", "Name": "Initech"}).follow()
	require.Equal(t, "Initech", made.title())
	keys := made.follows("Keys").is(http.StatusOK)
	key := keys.press("Create key", map[string]string{"Name": "ci", "Role": "read"}).is(http.StatusCreated)
	secret := attribute(key.field(key.root, "Key"), "value")
	p, err := s.Service.Authenticate(t.Context(), secret)
	require.NoError(t, err)
	require.Equal(t, models.RoleRead, p.Role)
	listed := key.follows("Keys")
	require.NotContains(t, listed.body, secret)
	listed.press("Revoke ci", nil).follow()
	_, err = s.Service.Authenticate(t.Context(), secret)
	require.Error(t, err)
	link := b.get("/console/tenants/initech/keys").press("Create portal link", map[string]string{"Recipient's name": "jane"}).is(http.StatusCreated)
	u, err := url.Parse(attribute(link.field(link.root, "Portal link"), "value"))
	require.NoError(t, err)
	visitor := s.browser()
	visitor.get(u.RequestURI()).press("Open", nil).follow()
	b.get("/console/tenants/initech/keys").press("Revoke all portal links", nil).follow()
	visitor.get("/portal").is(http.StatusUnauthorized)
	log := b.get("/console/audit?tenant=initech").is(http.StatusOK).press("Filter", map[string]string{"Action": "key.revoked"}).is(http.StatusOK)
	require.Len(t, all(log.root, "tr"), 2)
	require.Contains(t, log.text(log.root), "admin")
	own := s.signedIn(s.Key("initech", models.RoleRead)).get("/portal/audit?action=key.revoked").is(http.StatusOK)
	require.Contains(t, own.text(own.root), "staff")
	require.NotContains(t, own.text(own.root), "admin", "which of the staff it was is not the tenant's to know")
	settings := b.get("/console/tenants/initech/settings")
	settings.press("Save", map[string]string{"Administrators": "nobody"}).is(http.StatusUnprocessableEntity)
	saved := settings.press("Save", map[string]string{"Administrators": "ops@initech.example"}).follow()
	require.Equal(t, "ops@initech.example", rawText(saved.field(saved.root, "Administrators")))

	form := b.get("/console/event-types/new").is(http.StatusOK)
	bad := form.press("Create event type", map[string]string{"Name": "order.created", "Schema": "{"}).is(http.StatusUnprocessableEntity)
	require.Contains(t, bad.text(bad.root), "is not JSON")
	require.Contains(t, bad.text(bad.root), "is an event type already")
	form.press("Create event type", map[string]string{"Name": "order.lost", "Schema": `{"type":"object"}`, "Example": `{}`}).follow()
	edit := b.get("/console/event-types/order.lost/edit").is(http.StatusOK)
	edit.press("Save", map[string]string{"Deprecated": "yes"}).follow()
	stored, err := s.Service.EventType(t.Context(), "", "order.lost")
	require.NoError(t, err)
	require.True(t, stored.Deprecated)
	require.JSONEq(t, `{"type":"object"}`, stored.Schema)
	stored.Archived, stored.FeatureFlags = true, []string{"beta", "labs"}
	_, err = s.Service.PutEventType(t.Context(), stored)
	require.NoError(t, err)
	types := b.get("/console/event-types").is(http.StatusOK)
	require.Contains(t, types.text(types.root), "archived")
	require.Contains(t, types.text(types.root), "feature flags: beta, labs")
	require.NotContains(t, b.get("/console/tenants/acme/catalogue").body, "order.lost")
	b.get("/console/tenants/acme/catalogue").press("Load catalogue", map[string]string{"Catalogue of a system": "up42"}).follow()
	require.Contains(t, b.get("/console/tenants/acme/catalogue").body, "order.status")
}

// A recovery that runs for long is shown, however many have ended since it began.
func TestPages_OverviewsShowWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx := t.Context()
	slow, other := s.Webhook("acme", "https://shop.example/slow"), s.Webhook("acme", "https://shop.example/other")
	running, err := s.Service.Recover(ctx, "acme", slow.ID, service.RecoveryRequest{})
	require.NoError(t, err)
	var ended models.Recovery
	for range 9 {
		ended, err = s.Service.Recover(ctx, "acme", other.ID, service.RecoveryRequest{})
		require.NoError(t, err)
		_, err = s.Service.CancelRecovery(ctx, "acme", ended.ID)
		require.NoError(t, err)
	}
	staff := s.signedIn(servicetest.AdminKey)
	for _, path := range []string{"/console", "/console/tenants/acme"} {
		body := staff.get(path).is(http.StatusOK).body
		require.Contains(t, body, "/recoveries/"+running.ID, path)
		require.NotContains(t, body, "/recoveries/"+ended.ID, path)
	}
}
