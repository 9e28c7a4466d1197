package console_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/console"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// shots is where pictures of all pages are left: go test ./console -run TestPictures_ -shots /tmp/shots
var shots = flag.String("shots", "", "a directory for pictures of all pages")

// screens are what pages are looked at on. Those that are not always are for pictures.
var screens = []struct {
	name, colours string
	width, height int
	always        bool
}{{"desktop-light", "light", 1280, 860, true}, {"phone-dark", "dark", 390, 844, true}, {"desktop-dark", "dark", 1280, 860, false}, {"phone-light", "light", 390, 844, false}}

// look shows pages on all screens. Nothing is wider than the screen, nothing is refused by the pages' own policy, and axe-core finds
// nothing that keeps people from using them.
func (b *tab) look(who string, pages []console.Page, things furniture) {
	b.t.Helper()
	short := strings.NewReplacer("/", "-", things.webhook, "id", things.delivery, "id", things.event, "id", things.recovery, "id")
	for _, p := range pages {
		if p.Method != http.MethodGet || strings.HasSuffix(p.Path, ".css") {
			continue
		}
		b.open(p.Path)
		b.see(who + short.Replace(p.Path))
	}
	b.withinPolicy()
}

// see looks at the page that is open.
func (b *tab) see(name string) {
	b.t.Helper()
	for _, screen := range screens {
		if *shots == "" && !screen.always {
			continue
		}
		b.size(screen.width, screen.height, screen.width < 500)
		b.colours(screen.colours)
		if *shots != "" {
			require.NoError(b.t, os.MkdirAll(*shots, 0o750))
			b.shot(filepath.Join(*shots, name+"-"+screen.name+".png"), true)
		}
		b.fits(name + " on a " + screen.name)
	}
}

// fits says that nothing of the page is wider than the screen, and that axe-core finds nothing that keeps people from using it.
func (b *tab) fits(what string) {
	b.t.Helper()
	axe, err := os.ReadFile("testdata/axe-core/axe.min.js")
	require.NoError(b.t, err)
	var wider bool
	b.eval(`document.documentElement.scrollWidth > document.documentElement.clientWidth`, &wider)
	require.False(b.t, wider, "wider than the screen: %s", what)
	var violations []string
	b.eval(string(axe)+`;axe.run().then((r) => r.violations.map((v) => v.id + ": " + v.help + " " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(" | ")))`, &violations)
	require.Empty(b.t, violations, what)
}

// withinPolicy says that nothing was refused by the pages' own policy.
func (b *tab) withinPolicy() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, entry := range b.events[b.session+" Log.entryAdded"] {
		require.NotContains(b.t, string(entry), "Content Security Policy")
	}
}

// everyPage is every page of the console.
func (s *stage) everyPage(things furniture) []console.Page {
	pages := append(s.walk("/console/tenants/acme", false, things), s.walk("/console", true, furniture{})...)
	return append(pages, console.Page{Method: http.MethodGet, Path: "/console/login"}, console.Page{Method: http.MethodGet, Path: "/console/nothing"})
}

// TestPictures_OfEveryPage shows every page to a real browser: light and dark, on a desktop and on a phone.
func TestPictures_OfEveryPage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	things := s.furnishWell()
	b := s.staff(newChrome(t))
	b.look("", s.everyPage(things), things)
	if *images != "" {
		s.illustrate(b, things)
	}
}

// portalTab is a tab of somebody who came through a portal link.
func (s *stage) portalTab(c *chrome, r service.LinkRequest) *tab {
	s.t.Helper()
	path, _ := s.portalLink(r)
	b := c.tab(s.url)
	b.open(path) // its script presses the button
	b.sees("Failing webhooks")
	return b
}

// logo is a picture of a tenant, as a server of theirs has it.
const logo = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 24"><rect width="24" height="24" rx="5" fill="#7a1fa2"/><text x="32" y="18" font-family="sans-serif" font-size="17" font-weight="700" fill="#9c4dcc">Acme</text></svg>`

// TestPictures_OfThePortal does the same with every page of the portal, as each of those who may come sees it: what one may not see
// is a page too.
func TestPictures_OfThePortal(t *testing.T) {
	t.Parallel()
	cdn := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/svg+xml")
		_, _ = w.Write([]byte(logo))
	}))
	t.Cleanup(cdn.Close)
	s := newStageWith(t, func(o *service.Options) { o.LogoOrigins = []string{cdn.URL} })
	things := s.furnishWell()
	browser := newChrome(t)
	signedIn := func(key string) *tab {
		b := browser.tab(s.url)
		b.open("/console/login")
		b.fill("Key", key)
		b.press("Sign in")
		b.sees("Failing webhooks")
		return b
	}
	everything := []string{service.CapabilityKeys, service.CapabilitySettings}
	branded := s.portalTab(browser, service.LinkRequest{Role: models.RoleTenant, Capabilities: everything,
		Theme: map[string]string{"accent": "#7a1fa2", "font": "serif", "radius": "12", "logo": cdn.URL + "/acme.svg"}})
	branded.until(`document.querySelector(".brand img").naturalWidth > 0`)
	var title string
	branded.eval(`document.title`, &title)
	require.Equal(t, "Acme Ltd", title)
	for name, visitor := range map[string]*tab{
		"key-": signedIn(s.key), "branded-": branded, "reader-": s.portalTab(browser, service.LinkRequest{Role: models.RoleRead, Theme: map[string]string{"accent": "#ffd54f"}}),
	} {
		visitor.look(name, s.walk("/portal", false, things), things)
	}

	// What follows a press of a button.
	b := signedIn(s.key)
	b.open("/portal/webhooks/new")
	b.fill("URL", "ftp://shop.example/")
	b.press("Create webhook")
	b.see("pressed-mistakes")
	b.fill("URL", "https://shop.example/hook")
	b.press("Create webhook")
	b.sees("it is not shown again")
	b.see("pressed-secret")
	b.press("Webhook")
	b.press("Send test event")
	b.see("pressed-test")
	b.open("/portal/webhooks/" + things.webhook)
	b.press("Delete")
	b.see("pressed-delete")
	b.open("/portal/deliveries/" + things.delivery)
	b.eval(`document.querySelectorAll("details").forEach((d) => { d.open = true; })`, nil)
	b.see("pressed-exchange")
	b.open("/portal/deliveries?q=nothing")
	b.see("pressed-nothing")
	b.open("/portal/keys")
	b.press("Create portal link")
	b.see("pressed-link")
	b.press("Sign out")
	b.open("/portal")
	b.sees("Your session has ended.")
	b.see("pressed-no-session")
	path, _ := s.portalLink(service.LinkRequest{Role: models.RoleRead})
	still := browser.tab(s.url)
	still.do("Network.setBlockedURLs", map[string]any{"urls": []string{"*/open.js"}}, nil) // it would press the button
	still.open(path)
	still.see("pressed-not-yet")
}

// The texts of TestPictures_OfHostileTexts: long words, text that turns the direction of what follows, HTML, and bytes that are not text.
const (
	longWord = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
	turned   = "abc\u202edcba\u2066 مرحبا\u200f <b>bold</b>"
)

// wildReceiver answers with such texts.
type wildReceiver struct {
	calls int
	now   func() time.Time
}

func (r *wildReceiver) Post(_ context.Context, request sender.Request) sender.Result {
	r.calls++
	bodies := [][]byte{[]byte(strings.Repeat(longWord, 60)), []byte("\x89PNG\r\n\x1a\n\x00\x00\xff\xfe"), []byte("<!doctype html><h1>" + turned + "</h1><script>evil()</script>")}
	return sender.Result{StartedAt: r.now(), URL: request.URL, Duration: 59_999 * time.Millisecond, StatusCode: http.StatusBadGateway, Outcome: sender.Failed,
		Error:  "502 Bad Gateway",
		Header: http.Header{"X-" + strings.Repeat("Long-", 20): {strings.Repeat("value", 200)}, "X-Turned": {turned}}, Body: bodies[r.calls%len(bodies)]}
}

// TestPictures_OfHostileTexts shows every page with the longest and the strangest texts that it can have: nothing is pushed off the
// screen.
func TestPictures_OfHostileTexts(t *testing.T) {
	t.Parallel()
	r := &wildReceiver{}
	s := newStageWith(t, func(o *service.Options) { o.Poster = r })
	r.now = s.Clock.Now
	ctx := t.Context()
	name := turned + " " + longWord + longWord
	emails := []string{strings.Repeat("a", 60) + "@" + strings.Repeat("b", 60) + ".example"}
	_, err := s.Service.UpdateTenant(ctx, "acme", service.TenantChange{Name: &name, AdminEmails: &emails, Metadata: &map[string]string{strings.Repeat("m", 100): strings.Repeat("v", 1000), turned: turned}})
	require.NoError(t, err)
	_, _, err = s.Service.PutTenant(ctx, models.Tenant{ID: strings.Repeat("t", 64), Name: longWord + longWord})
	require.NoError(t, err)
	eventType := strings.Repeat("x", 120) + ".lost"
	_, err = s.Service.PutEventType(ctx, models.EventType{Name: eventType, Description: name, Example: `{"word":"` + longWord + longWord + `"}`})
	require.NoError(t, err)
	address := "https://" + strings.Repeat("h", 60) + ".example/" + strings.Repeat("path", 200) + "?token=" + strings.Repeat("q", 300)
	headers := map[string]string{"X-" + strings.Repeat("Long-", 20) + "Name": strings.Repeat("value", 100)}
	w, _, err := s.Service.CreateWebhook(ctx, "acme", service.WebhookChange{URL: &address, Name: &name, Description: &name, EventTypes: &[]string{eventType},
		Metadata: &map[string]string{strings.Repeat("m", 100): strings.Repeat("v", 1000)}, Channels: &[]string{strings.Repeat("c", 128)}, Headers: &headers, By: longWord})
	require.NoError(t, err)
	var things furniture
	for i := range 3 {
		published, err := s.Service.Publish(ctx, "acme", service.PublishRequest{Events: []service.EventInput{{Type: eventType, Channels: []string{strings.Repeat("c", 128)},
			Data: []byte(`{"word":"` + strings.Repeat(longWord, 20) + `","turned":"` + turned + `","html":"</pre><script>evil()</script>"}`),
			Tags: []string{strings.Repeat("tag", 40), turned}, ExternalID: strings.Repeat("e", 250) + fmt.Sprint(i), Attributes: map[string]string{"name": strings.Repeat("a", 500), "turned": turned}}}})
		require.NoError(t, err)
		d := s.Deliveries("acme", published[0].ID)[0]
		things = furniture{webhook: w.ID, event: published[0].ID, delivery: d.ID}
		for range 3 {
			s.Attempt("acme", d.ID)
		}
	}
	s.judge(w.ID)
	_, err = s.Store.DeactivateWebhook(ctx, w.ID, threshold, turned+longWord)
	require.NoError(t, err)
	_, err = s.Service.Enable(ctx, "acme", w.ID, longWord)
	require.NoError(t, err)
	recovery, err := s.Service.Recover(ctx, "acme", w.ID, service.RecoveryRequest{})
	require.NoError(t, err)
	things.recovery = recovery.ID
	_, _, err = s.Service.CreateKey(ctx, "acme", name, models.RoleRead)
	require.NoError(t, err)
	_, _, err = s.Store.MergeStats(ctx, models.DeliveryKey{})
	require.NoError(t, err)

	browser := newChrome(t)
	b := s.staff(browser)
	b.look("hostile", s.everyPage(things), things)
	b.open("/console/tenants/" + strings.Repeat("t", 64) + "/webhooks")
	b.see("hostile-long-tenant")
	b.open("/console/tenants/acme/deliveries/" + things.delivery)
	b.eval(`document.querySelectorAll("details").forEach((d) => { d.open = true; })`, nil)
	b.see("hostile-exchange")
	b.open("/console/tenants/acme/webhooks/new")
	b.fill("Name", strings.Repeat("n", 200))
	b.fill("URL", "https://"+strings.Repeat("u", 300)+"/")
	b.press("Create webhook")
	b.see("hostile-mistakes")
	visitor := s.portalTab(browser, service.LinkRequest{Role: models.RoleTenant, Name: name, Capabilities: []string{service.CapabilityKeys, service.CapabilitySettings}})
	visitor.look("hostile-portal", []console.Page{{Method: http.MethodGet, Path: "/portal"}, {Method: http.MethodGet, Path: "/portal/keys"}}, things)
}
