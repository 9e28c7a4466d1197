package console_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/console"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// images is where TestPictures_OfEveryPage leaves the pictures of the documentation: go test ./console -run TestPictures_ -images ../docs/images
var images = flag.String("images", "", "a directory for the pictures of the documentation")

// receivers answers POSTs by the path of their URL.
type receivers struct {
	well atomic.Bool
	now  func() time.Time
}

func (r *receivers) Post(_ context.Context, request sender.Request) sender.Result {
	result := sender.Result{StartedAt: r.now(), URL: request.URL, Duration: 42 * time.Millisecond, StatusCode: http.StatusOK, Outcome: sender.Received,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"status":"thank <you>"}`)}
	if strings.Contains(request.URL, "fails") && !r.well.Load() {
		result.StatusCode, result.Outcome, result.Error = http.StatusServiceUnavailable, sender.Failed, "503 Service Unavailable"
		result.Duration = 310 * time.Millisecond
		result.Body = []byte(`{"error":"the warehouse is closed for stocktaking"}`)
	}
	return result
}

// threshold is the failure threshold of the stories. So many receptions fail quickly.
const threshold = 4

// stage is a site that a real browser reaches.
type stage struct {
	*site
	*receivers
	pages *console.Console
	url   string
}

func newStage(t *testing.T, ancestors ...string) *stage {
	t.Helper()
	return newStageWith(t, nil, ancestors...)
}

// newStageWith is newStage with other options.
func newStageWith(t *testing.T, change func(*service.Options), ancestors ...string) *stage {
	t.Helper()
	r := &receivers{}
	s := &stage{receivers: r, site: &site{t: t, Env: servicetest.New(t, servicetest.WithPoster(r), func(_ *sender.Config, o *service.Options) {
		if o.Threshold = threshold; change != nil {
			change(o)
		}
	})}}
	r.now = s.Clock.Now
	s.pages = console.New(console.Options{Service: s.Service, FrameAncestors: ancestors, Version: "1.2.3"})
	s.handler = s.pages
	server := httptest.NewServer(s.pages)
	t.Cleanup(server.Close)
	t.Cleanup(s.pages.EndStreams) // before the server waits for them
	s.url = server.URL
	s.key = s.Tenant("acme")
	s.EventTypes("order.created", "order.paid")
	return s
}

// staff is a tab in which the admin has signed in.
func (s *stage) staff(c *chrome) *tab {
	s.t.Helper()
	b := c.tab(s.url)
	b.open("/console")
	b.fill("Key", servicetest.AdminKey)
	b.press("Sign in")
	b.sees("Overview")
	return b
}

// furnishWell makes data for everything that pages can show.
func (s *stage) furnishWell() (things furniture) {
	s.t.Helper()
	ctx := s.t.Context()
	for i, name := range []string{"globex", "initech", "umbrella"} {
		_, _, err := s.Service.PutTenant(ctx, models.Tenant{ID: name, Name: []string{"Globex Corporation", "Initech", "Umbrella"}[i], AdminEmails: []string{"ops@" + name + ".example"}})
		require.NoError(s.t, err)
	}
	emails := []string{"ops@acme.example", "jane@acme.example"}
	name := "Acme Ltd"
	_, err := s.Service.UpdateTenant(ctx, "acme", service.TenantChange{Name: &name, AdminEmails: &emails, Metadata: &map[string]string{"plan": "gold", "region": "eu-west"}})
	require.NoError(s.t, err)
	for _, t := range []models.EventType{
		{Name: "order.created", Description: "An order was placed", Example: `{"order_id":42,"total":"19.90"}`, Schema: `{"type":"object","required":["order_id"],"properties":{"order_id":{"type":"integer"}}}`},
		{Name: "order.paid", Description: "An order was paid", Example: `{"order_id":42,"method":"card"}`},
		{Name: "order.shipped", Description: "An order has left the warehouse", Example: `{"order_id":42,"carrier":"posthorn"}`},
		{Name: "invoice.sent", Description: "An invoice was sent", Deprecated: true},
	} {
		_, err := s.Service.PutEventType(ctx, t)
		require.NoError(s.t, err)
	}
	webhook := func(name, address string, types ...string) models.Webhook {
		w, _, err := s.Service.CreateWebhook(ctx, "acme", service.WebhookChange{URL: &address, Name: &name, EventTypes: &types, By: "jane"})
		require.NoError(s.t, err)
		return w
	}
	webhook("Shop", "https://shop.acme.example/hooks/orders", "order.*")
	fails := webhook("Warehouse", "https://warehouse.acme.example/fails", "order.created", "order.shipped")
	webhook("Accounting", "https://books.acme.example/hook", "order.paid", "invoice.sent")
	paused := webhook("Staging", "https://staging.acme.example/hook", "order.created")
	_, err = s.Service.Pause(ctx, "acme", paused.ID, "jane")
	require.NoError(s.t, err)
	for i := range 9 {
		event, err := s.Service.Publish(ctx, "acme", service.PublishRequest{Events: []service.EventInput{{Type: []string{"order.created", "order.paid", "order.created"}[i%3],
			Data: fmt.Appendf(nil, `{"order_id":%d,"total":"19.90","customer":{"name":"J. Bach","country":"DE"}}`, 1042+i), Tags: []string{"eu"}, Attributes: map[string]string{"customer": fmt.Sprint("c_", 77+i)}}}})
		require.NoError(s.t, err)
		for _, d := range s.Deliveries("acme", event[0].ID) {
			if d.Status != models.Pending || d.WebhookID == fails.ID && things.delivery != "" && i > 3 {
				continue
			}
			s.Attempt("acme", d.ID)
			if d.WebhookID == fails.ID {
				if things.delivery == "" {
					s.Attempt("acme", d.ID)
				}
				things.delivery, things.event = d.ID, event[0].ID
			}
		}
		s.Clock.Advance(4 * time.Minute)
	}
	things.webhook = fails.ID
	s.judge(fails.ID)
	_, err = s.Service.Enable(ctx, "acme", fails.ID, "jane")
	require.NoError(s.t, err)
	recovery, err := s.Service.Recover(ctx, "acme", fails.ID, service.RecoveryRequest{})
	require.NoError(s.t, err)
	things.recovery = recovery.ID
	_, err = s.Service.ReleasePage(ctx, recovery.ID)
	require.NoError(s.t, err)
	_, _, err = s.Store.MergeStats(ctx, models.DeliveryKey{})
	require.NoError(s.t, err)
	return things
}

// judge does the work of the webhook's health workflow: it records the change of the webhook, and notifies the
// administrators.
func (s *stage) judge(webhookID string) {
	s.t.Helper()
	ctx := s.t.Context()
	w, err := s.Service.Judge(ctx, webhookID)
	require.NoError(s.t, err)
	t, err := s.Store.Tenant(ctx, w.Tenant)
	require.NoError(s.t, err)
	ids, err := s.Store.UnsentNotifications(ctx, webhookID)
	require.NoError(s.t, err)
	for _, id := range ids {
		n, err := s.Store.Notification(ctx, id)
		require.NoError(s.t, err)
		n.Detail.Told = t.AdminEmails
		require.NoError(s.t, s.Store.NotificationEnded(ctx, &n, models.NoticeSent, ""))
	}
}

// illustrate makes the pictures of the documentation: of a webhook that has been failing for an hour.
func (s *stage) illustrate(b *tab, things furniture) {
	s.t.Helper()
	s.Service.Threshold = 300
	for n := range 72 {
		name := []string{"order.created", "order.shipped"}[n%2]
		for _, d := range s.Deliveries("acme", s.Publish("acme", name, fmt.Sprintf(`{"order_id":%d,"total":"19.90"}`, 2000+n))) {
			if d.Status != models.Pending {
				continue
			}
			s.Attempt("acme", d.ID)
			if d.WebhookID == things.webhook {
				s.Attempt("acme", d.ID)
				things.delivery = d.ID
				if n%9 == 0 {
					s.Attempt("acme", d.ID)
				}
			}
		}
		s.Clock.Advance(35 * time.Second)
	}
	s.judge(things.webhook)
	s.Attempt("acme", things.delivery)
	b.colours("light")
	b.size(1180, 1010, false)
	b.open("/console/tenants/acme/webhooks/" + things.webhook + "?span=1h")
	b.sees("Live")
	b.shot(filepath.Join(*images, "console-webhook.png"), false)
	b.size(1180, 1180, false)
	b.open("/console/tenants/acme/deliveries/" + things.delivery)
	b.sees("Live")
	b.eval(`document.querySelector("#story details").open = true`, nil)
	b.shot(filepath.Join(*images, "console-delivery.png"), false)
}

func TestStories_OfAWebhook(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	b := s.staff(newChrome(t))

	b.press("Tenants")
	b.fill("Id", "initech")
	b.fill("Name", "Initech")
	b.fill("Administrators", "ops@initech.example")
	b.press("Create tenant")
	b.sees("Created.")
	b.press("Event types")
	b.press("New event type")
	b.fill("Name", "report.filed")
	b.fill("Schema", `{"type":`)
	b.fill("Example", `{"pages":2}`)
	b.press("Create event type")
	b.sees("is not JSON")
	b.fill("Schema", `{"type":"object"}`)
	b.press("Create event type")
	b.sees("report.filed")
	b.open("/console/tenants/initech/webhooks")
	b.sees("There are no webhooks yet")
	b.press("New webhook")
	b.fill("URL", "https://initech.example/hook")
	b.fill("Name", "Printer")
	b.fill("report.filed", "yes")
	b.press("Create webhook")
	secret := b.value("Signing secret")
	require.Regexp(t, "^whsec_", secret)
	b.sees("it is not shown again")
	b.press("Webhook")
	b.sees("0 of 4 failed receptions")
	require.NotContains(t, b.text(), secret)
	b.press("Send test event")
	b.sees("1 of 1 were received")
	b.sees("thank <you>")
	b.press("Webhook")
	b.press("Rotate secret")
	require.NotEqual(t, secret, b.value("Signing secret"))
	b.press("Webhook")
	b.sees("2 secrets in force; an earlier one also signs, and ends in 23 hours")
	b.press("Delete")
	b.sees("This cannot be undone.")
	b.press("Delete webhook")
	b.sees("There are no webhooks yet")
}

// TestStories_ByKeyboard presses each button of a webhook's and of a delivery's page, as a person without a mouse does: with Tab
// until it is reached, and Enter.
func TestStories_ByKeyboard(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.Webhook("acme", "https://shop.example/fails")
	d := s.Deliveries("acme", s.Publish("acme", "order.created", `{"order":42}`))[0]
	s.Attempt("acme", d.ID)
	b := s.staff(newChrome(t))
	shown, pressed := map[string]bool{}, map[string]bool{"Sign out": true} // it is pressed last
	note := func() {
		var names []string
		b.eval(`[...document.querySelectorAll("button, a.button:not([hidden])")].map(`+nameOf+`)`, &names)
		for _, name := range names {
			shown[name] = true
		}
	}
	press := func(name, then string) {
		t.Helper()
		note()
		b.reach(name)
		pressed[name] = true
		b.leave(func() { b.key("Enter", 13) })
		b.sees(then)
	}

	page := "/console/tenants/acme/webhooks/" + w.ID
	b.open(page)
	b.key("Tab", 9)
	b.key("Enter", 13)
	b.until(`location.hash === "#main"`) // the link that skips to the content
	press("Pause", "Paused.")
	press("Resume", "Resumed.")
	press("Disable", "The webhook is disabled.")
	press("Enable", "The webhook is enabled.")
	press("Disable", "The webhook is disabled.")
	press("Enable and recover", "The deliveries that it missed are being sent.")
	b.open(page)
	press("Recover", "They are sent at the rate below.")
	b.open(page)
	press("Edit", "Event types")
	b.open(page)
	press("Send test event", "were received")
	b.open(page)
	press("Rotate secret", "it is not shown again")
	b.open(page)
	b.reach("Copy id")
	pressed["Copy id"] = true
	b.key("Enter", 13)
	b.until(`document.activeElement.textContent === "Copied"`)

	b.open("/console/tenants/acme/deliveries/" + d.ID)
	b.reach("Request and response")
	b.key("Enter", 13)
	b.sees("the warehouse is closed for stocktaking")
	press("Retry now", "The delivery is being sent now.")
	press("Pause", "Paused.")
	press("Resume", "The delivery is being sent now.")
	press("Cancel", "canceled by admin")
	note()

	b.open(page)
	press("Delete", "This cannot be undone.")
	require.Equal(t, pressed, shown, "every button is pressed")
	b.reach("Delete webhook")
	b.leave(func() { b.key("Enter", 13) })
	b.sees("There are no webhooks yet")
	b.reach("Sign out")
	b.leave(func() { b.key("Enter", 13) })
	b.sees("An admin key opens the console.")
}

// A page shows changes without being loaded again, and nothing on it moves.
func TestStories_OfAFailingWebhook(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	emails := []string{"ops@acme.example"}
	_, err := s.Service.UpdateTenant(t.Context(), "acme", service.TenantChange{AdminEmails: &emails})
	require.NoError(t, err)
	w := s.Webhook("acme", "https://shop.example/fails")
	var owed []models.Delivery
	for range threshold {
		owed = append(owed, s.Deliveries("acme", s.Publish("acme", "order.created", `{"order":42}`))...)
	}
	b := s.staff(newChrome(t))
	page := "/console/tenants/acme/webhooks/" + w.ID
	b.open(page)
	b.sees("0 of 4 failed receptions")
	b.until(`document.getElementById("live").textContent === "Live"`)
	b.eval(`window.same = "page"`, nil)
	for i, d := range owed {
		s.Attempt("acme", d.ID)
		if i == 1 {
			s.judge(w.ID)
			b.sees("Warning at 50 % of the threshold")
		}
		b.sees(fmt.Sprintf("%d of 4 failed receptions", i+1))
	}
	s.judge(w.ID)
	b.sees("deactivated 4 receptions failed")
	b.sees("Mail to ops@acme.example.")
	b.sees("503 Service Unavailable")
	var same string
	b.eval(`window.same`, &same)
	require.Equal(t, "page", same)

	s.well.Store(true)
	b.press("Enable and recover")
	b.sees("The webhook is enabled. The deliveries that it missed are being sent.")
	b.sees("0 of 4")
	b.until(`document.getElementById("live").textContent === "Live"`)
	b.eval(`window.same = "page"`, nil)
	recoveries := s.Engine.Recoveries()
	_, err = s.Service.ReleasePage(t.Context(), recoveries[len(recoveries)-1])
	require.NoError(t, err)
	b.until(`document.querySelector("progress").value === 4`)
	b.eval(`window.same`, &same)
	require.Equal(t, "page", same)
}

func TestStories_OfADelivery(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.Webhook("acme", "https://shop.example/fails")
	event := s.Publish("acme", "order.created", `{"order":42}`)
	other := s.Deliveries("acme", s.Publish("acme", "order.paid", `{}`))[0]
	d := s.Deliveries("acme", event)[0]
	b := s.staff(newChrome(t))
	b.open("/console/tenants/acme/deliveries/" + d.ID)
	b.sees("No attempt has been made yet.")
	b.until(`document.getElementById("live").textContent === "Live"`)
	s.Attempt("acme", d.ID)
	b.sees("Attempt 1, ")
	b.sees("503 Service Unavailable")
	b.sees("Attempt 2, due in ")
	var before, after int
	const left = `Number(document.querySelector(".next time").textContent.match(/\d+/))`
	b.eval(left, &before)
	b.until(fmt.Sprintf("%s !== %d", left, before))
	b.eval(left, &after)
	require.Less(t, after, before, "it counts down")
	b.eval(`document.querySelector("#story summary").click()`, nil)
	b.sees("the warehouse is closed for stocktaking")
	s.well.Store(true)
	b.press("Retry now")
	b.sees("The delivery is being sent now.")
	s.Attempt("acme", d.ID)
	b.sees("The receiver has confirmed the delivery.")
	var link string
	b.eval(`[...document.links].find((a) => a.textContent === "Open in Temporal").href`, &link)
	require.Contains(t, link, "/workflows/deliver/")

	b.open("/console/deliveries?status=pending&tenant=acme")
	b.sees("order.paid")
	b.eval(`[...document.links].find((a) => a.textContent.startsWith("order.paid")).click()`, nil)
	b.sees("Attempt 1,")
	b.press("Cancel")
	b.sees("canceled by admin")
	require.Equal(t, models.Canceled, s.Deliveries("acme", other.EventID)[0].Status)

	b.open("/console/tenants/acme/events")
	b.fill("Text in the data", `"order":42`)
	b.press("Filter")
	b.eval(`document.querySelector("tbody a").click()`, nil)
	b.sees(`{"order":42}`)
	b.press("Send again")
	b.sees("The event is being sent again.")
	require.Equal(t, models.Pending, s.Deliveries("acme", event)[0].Status)
	require.Equal(t, w.ID, s.Deliveries("acme", event)[0].WebhookID)
}

// New entries of a list wait for a press of a button: nothing moves by itself.
func TestStories_OfTheLog(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Webhook("acme", "https://shop.example/hook")
	first := s.Deliveries("acme", s.Publish("acme", "order.created", `{}`))[0]
	b := s.staff(newChrome(t))
	b.open("/console/tenants/acme/deliveries")
	b.until(`document.getElementById("live").textContent === "Live"`)
	b.eval(`window.shifted = 0; new PerformanceObserver((l) => { for (const e of l.getEntries()) { window.shifted += e.value; window.what = e.sources.map((s) => s.node?.outerHTML ?? s.node?.textContent); } }).observe({ type: "layout-shift", buffered: false })`, nil)
	s.Attempt("acme", first.ID)
	b.sees("delivered 200 42 ms")
	s.Publish("acme", "order.paid", `{}`)
	b.sees("Show 1 new entry")
	require.NotContains(t, b.text(), "order.paid")
	var shifted float64
	b.eval(`window.shifted`, &shifted)
	var what []string
	b.eval(`window.what ?? []`, &what)
	require.Zero(t, shifted, "%q", what)
	b.press("Show 1 new entry")
	b.sees("order.paid")

	// The filters stay in the address.
	b.fill("Event type", "order.paid")
	b.press("Filter")
	var address string
	b.eval(`location.search`, &address)
	require.Contains(t, address, "type=order.paid")
}

// A page of another site embeds the portal. It cannot do what it may not.
func TestStories_OfThePortal(t *testing.T) {
	t.Parallel()
	var frame atomic.Value
	frame.Store("about:blank")
	sample, err := os.ReadFile("../docs/portal.html")
	require.NoError(t, err)
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		src, _ := frame.Load().(string)
		_, _ = fmt.Fprint(w, strings.Replace(string(sample), "https://posthorn.example/portal/open?code=…", src, 1))
	}))
	t.Cleanup(shop.Close)
	origin := strings.Replace(shop.URL, "127.0.0.1", "localhost", 1) // another site than the portal's
	s := newStage(t, origin)
	w := s.Webhook("acme", "https://shop.example/hook?token=t0ken")
	browser := newChrome(t)
	embedded := func(r service.LinkRequest) (*tab, *tab) {
		path, _ := s.portalLink(r)
		frame.Store(s.url + path)
		b := browser.tab(origin)
		b.open("/")
		return b, b.inFrame()
	}
	_, inside := embedded(service.LinkRequest{Role: models.RoleTenant, Name: "jane", Theme: map[string]string{"accent": "#7a1fa2", "mode": "dark"}})
	inside.sees("Failing webhooks")
	inside.until(`getComputedStyle(document.documentElement).getPropertyValue("--accent").trim() === "#7a1fa2"`) // its style sheet may come late
	var mode string
	inside.eval(`document.documentElement.dataset.mode`, &mode)
	require.Equal(t, "dark", mode)
	inside.press("Webhooks")
	inside.press("https://shop.example/hook?token=t0ken")
	inside.press("Pause")
	inside.sees("Paused.")
	stored, err := s.Service.Webhook(t.Context(), "acme", w.ID)
	require.NoError(t, err)
	require.Equal(t, models.WebhookPaused, stored.Status)

	_, reader := embedded(service.LinkRequest{Role: models.RoleRead})
	reader.sees("Failing webhooks")
	reader.press("Webhooks")
	reader.press("https://shop.example/hook")
	var buttons []string
	reader.eval(`[...document.querySelectorAll("button")].map((e) => e.innerText)`, &buttons)
	require.Equal(t, []string{"Sign out", "Copy"}, buttons, "it can change nothing")

	path, _ := s.portalLink(service.LinkRequest{Role: models.RoleRead})
	s.Clock.Advance(6 * time.Minute)
	old := browser.tab(s.url)
	old.open(path)
	old.sees("this link has been used or has expired")
	stranger := browser.tab(strings.Replace(s.url, "127.0.0.1", "localhost", 1))
	frame.Store(s.url + "/console/login")
	stranger.open(origin + "/")
	require.False(t, stranger.frameShows("Sign in"), "the console is not framed")
}

// Without JavaScript everything can be read, and forms work.
func TestStories_WithoutScripts(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	things := s.furnishWell()
	b := newChrome(t).tab(s.url)
	b.withoutScripts()
	b.open("/console/tenants/acme/webhooks/" + things.webhook)
	b.fill("Key", servicetest.AdminKey)
	b.press("Sign in")
	b.sees("Warehouse")
	b.sees("Deactivated")
	b.press("Pause")
	b.sees("Paused.")
	b.press("Edit")
	b.fill("Name", "Depot")
	b.press("Save")
	b.sees("Depot")
	path, _ := s.portalLink(service.LinkRequest{Role: models.RoleRead})
	b.open(path)
	b.press("Open")
	b.sees("Failing webhooks")
}

// The first page is small: for phones, and for people far away.
func TestStories_TheFirstPageIsSmall(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.furnishWell()
	b := s.staff(newChrome(t))
	b.do("Network.setCacheDisabled", map[string]any{"cacheDisabled": true}, nil)
	b.mu.Lock()
	b.events = map[string][]json.RawMessage{}
	b.mu.Unlock()
	b.open("/console/tenants/acme")
	b.until(`document.getElementById("live").textContent === "Live"`)
	b.mu.Lock()
	defer b.mu.Unlock()
	requests := b.events[b.session+" Network.requestWillBeSent"]
	require.LessOrEqual(t, len(requests), 20)
	bytes := 0.0
	for _, text := range b.events[b.session+" Network.loadingFinished"] {
		var finished struct{ EncodedDataLength float64 }
		require.NoError(t, json.Unmarshal(text, &finished))
		bytes += finished.EncodedDataLength
	}
	require.Greater(t, bytes, 1000.0)
	require.LessOrEqual(t, bytes, 100.0*1024)
}
