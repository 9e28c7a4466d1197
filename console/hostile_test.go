package console_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/console"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// hostile would run as a script if it stood unescaped in HTML, an attribute, a script, a style or an address.
const hostile = `"'><script>evil()</script><img src=x onerror=evil()>{{.}}</pre></textarea></title>javascript:evil()`

// hostileReceiver answers with it.
type hostileReceiver struct{}

func (hostileReceiver) Post(_ context.Context, r sender.Request) sender.Result {
	return sender.Result{StartedAt: time.Now(), URL: r.URL, StatusCode: http.StatusTeapot, Outcome: sender.Failed, Error: hostile,
		Header: http.Header{"X-Evil": {hostile}, "Content-Type": {"text/html"}}, Body: []byte(hostile)}
}

// Names, URLs, payloads and answers are shown as text on every page, wherever they come from.
func TestHostile_NothingHostileRuns(t *testing.T) {
	t.Parallel()
	s := newSite(t, servicetest.WithPoster(hostileReceiver{}))
	ctx := t.Context()
	name, address, emails := hostile, "https://shop.example/"+url.PathEscape(hostile)+"?"+url.QueryEscape(hostile), []string{"ops@acme.example"}
	_, err := s.Service.UpdateTenant(ctx, "acme", service.TenantChange{Name: &name, AdminEmails: &emails, Metadata: &map[string]string{"note": hostile}})
	require.NoError(t, err)
	_, err = s.Service.PutEventType(ctx, models.EventType{Name: "order.lost", Description: hostile, Example: `{"x":"</pre><script>evil()</script>"}`})
	require.NoError(t, err)
	w, _, err := s.Service.CreateWebhook(ctx, "acme", service.WebhookChange{URL: &address, Name: &name, Description: &name, Metadata: &map[string]string{"note": hostile}, By: hostile})
	require.NoError(t, err)
	published, err := s.Service.Publish(ctx, "acme", service.PublishRequest{Events: []service.EventInput{{Type: "order.lost", Data: []byte(`{"x":"</pre><script>evil()</script>"}`),
		Tags: []string{hostile}, ExternalID: hostile, Attributes: map[string]string{"name": hostile}}}})
	require.NoError(t, err)
	things := furniture{webhook: w.ID, event: published[0].ID, delivery: s.Deliveries("acme", published[0].ID)[0].ID}
	s.Attempt("acme", things.delivery)
	_, err = s.Store.DeactivateWebhook(ctx, w.ID, threshold, hostile)
	require.NoError(t, err)
	_, err = s.Service.Enable(ctx, "acme", w.ID, hostile)
	require.NoError(t, err)
	recovery, err := s.Service.Recover(ctx, "acme", w.ID, service.RecoveryRequest{})
	require.NoError(t, err)
	things.recovery = recovery.ID
	_, _, err = s.Service.CreateKey(ctx, "acme", hostile, models.RoleRead)
	require.NoError(t, err)

	staff, owner := s.signedIn(servicetest.AdminKey), s.through(service.LinkRequest{Role: models.RoleTenant, Name: hostile, Capabilities: []string{"keys", "settings"}})
	query := "?" + url.Values{"q": {hostile}, "type": {hostile}, "tag": {hostile}, "channel": {hostile}, "webhook": {hostile}, "event": {hostile}, "actor": {hostile},
		"target": {hostile}, "done": {hostile}, "span": {hostile}, "external_id": {hostile}}.Encode()
	seen := 0
	for _, as := range []struct {
		b     *browser
		pages []console.Page
	}{
		{staff, append(s.walk("/console/tenants/acme", false, things), s.walk("/console", true, furniture{})...)},
		{owner, s.walk("/portal", false, things)},
		{s.browser(), []console.Page{{Method: "GET", Path: "/console/login"}, {Method: "GET", Path: "/portal/open"}, {Method: "GET", Path: "/console/nothing"}}},
	} {
		for _, p := range as.pages {
			if p.Method != http.MethodGet || strings.HasSuffix(p.Path, ".css") {
				continue
			}
			for _, target := range []string{p.Path, p.Path + query, p.Path + "?next=" + url.QueryEscape(hostile) + "&code=" + url.QueryEscape(hostile)} {
				d := as.b.get(target)
				if strings.Contains(d.body, "evil") {
					seen++
				}
				harmless(t, d)
			}
		}
	}
	require.Greater(t, seen, 20, "it is shown")
	for _, form := range []string{"/console/tenants", "/console/event-types/new", "/console/tenants/acme/webhooks/new", "/console/tenants/acme/keys",
		"/console/tenants/acme/settings", "/console/tenants/acme/webhooks/" + w.ID + "/recover", "/console/tenants/acme/webhooks/" + w.ID + "/test"} {
		harmless(t, staff.post(form, url.Values{"id": {hostile}, "name": {hostile}, "url": {hostile}, "schema": {hostile}, "example": {hostile}, "description": {hostile},
			"headers": {hostile}, "patterns": {hostile}, "role": {hostile}, "admin_emails": {hostile}, "metadata": {hostile}, "since": {hostile}, "rate": {hostile}, "held": {"yes"}}))
	}
}

// A name cannot turn the direction of the text, and a form sends it back as it is.
func TestHostile_NamesDoNotTurnText(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	name, address := "paid \u202e001\u2066 مرحبا", "https://shop.example/hook"
	w, _, err := s.Service.CreateWebhook(t.Context(), "acme", service.WebhookChange{URL: &address, Name: &name, Description: &name, By: "test"})
	require.NoError(t, err)
	event := s.Publish("acme", "order.created", "{\"note\":\"1\u202e2\"}")
	owner := s.signedIn(s.key)
	for _, path := range []string{"/portal/webhooks", "/portal/webhooks/" + w.ID, "/portal/events/" + event} {
		page := owner.get(path).is(http.StatusOK)
		require.NotContains(t, page.text(page.root), "\u202e", path)
		require.Contains(t, page.text(page.root), `\u202e`, path)
	}
	require.Contains(t, owner.get("/portal/webhooks/"+w.ID).title(), `paid \u202e001\u2066 مرحبا`)
	owner.get("/portal/webhooks/"+w.ID+"/edit").press("Save", nil).is(http.StatusSeeOther)
	kept, err := s.Service.Webhook(t.Context(), "acme", w.ID)
	require.NoError(t, err)
	require.Equal(t, []string{name, name}, []string{kept.Name, kept.Description})
}

// harmless makes sure that a page has no element, attribute or address but its own.
func harmless(t *testing.T, d *document) {
	t.Helper()
	for _, n := range all(d.root, "script") {
		require.Regexp(t, `^/console/static/\w+\.js$`, attribute(n, "src"), d.path)
		require.Empty(t, d.text(n), d.path)
	}
	require.Empty(t, all(d.root, "img", "iframe", "object", "embed", "base", "style"), d.path)
	for n := range d.root.Descendants() {
		for _, a := range n.Attr {
			require.False(t, strings.HasPrefix(a.Key, "on"), "%s: %s", d.path, a.Key)
			if a.Key == "href" || a.Key == "action" || a.Key == "src" {
				require.NotRegexp(t, `(?i)^\s*(javascript|data|vbscript):`, a.Val, d.path)
			}
		}
	}
}

// Signing in leads only to our own pages.
func TestHostile_SigningInLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for next, want := range map[string]string{
		"/console/tenants/acme": "/console/tenants/acme", "//evil.example": "/console", "https://evil.example/console/": "/console", `/\evil.example`: "/console",
		"/consoleevil": "/console", "/portal/webhooks": "/console", "/console/login/../../..//evil.example": "/evil.example",
	} {
		to := s.browser().post("/console/login", url.Values{"key": {servicetest.AdminKey}, "next": {next}}).is(http.StatusSeeOther).header.Get("Location")
		require.Equal(t, want, to)
		u, err := url.Parse(to)
		require.NoError(t, err)
		require.Empty(t, u.Host)
	}
	require.Equal(t, "/portal/webhooks/x", s.browser().post("/console/login", url.Values{"key": {s.key}, "next": {"/portal/webhooks/x"}}).header.Get("Location"))
	away := s.browser().get("/portal/webhooks/x").is(http.StatusUnauthorized)
	require.Equal(t, "/console/login?next=%2Fportal%2Fwebhooks%2Fx", away.link("Sign in"))
}

// A cookie that somebody was given before signing in opens nothing, before and after.
func TestHostile_ASessionIsNotChosenByOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	planted := &http.Cookie{Name: "posthorn_console", Path: "/console", Value: "phs_" + strings.Repeat("a", 43)}
	b := s.browser()
	b.cookies[planted.Name] = planted
	b.get("/console").is(http.StatusSeeOther)
	b.post("/console/login", url.Values{"key": {servicetest.AdminKey}}).is(http.StatusSeeOther)
	require.NotEqual(t, planted.Value, b.cookies[planted.Name].Value)
	b.get("/console").is(http.StatusOK)
	attacker := s.browser()
	attacker.cookies[planted.Name] = planted
	attacker.get("/console").is(http.StatusSeeOther)
}

// A stream reports each change of the page, and ends when the process stops.
func TestHostile_ALivePageEnds(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.Webhook("acme", "https://shop.example/fails")
	d := s.Deliveries("acme", s.Publish("acme", "order.created", `{}`))[0]
	session := s.signedIn(servicetest.AdminKey).cookies["posthorn_console"]
	open := func(path string) (status int, header http.Header, body io.Reader) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, http.NoBody)
		require.NoError(t, err)
		r.Header.Set("Accept", "text/event-stream")
		r.AddCookie(&http.Cookie{Name: session.Name, Value: session.Value})
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		t.Cleanup(func() { _ = response.Body.Close() })
		return response.StatusCode, response.Header, response.Body
	}
	answers := func(path string) int {
		status, _, _ := open(path)
		return status
	}
	status, header, stream := open("/console/tenants/acme/webhooks/" + w.ID)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "text/event-stream; charset=utf-8", header.Get("Content-Type"))
	require.Equal(t, "no-store", header.Get("Cache-Control"))
	news := make(chan string, 100)
	go func() {
		defer close(news)
		buffer := make([]byte, 4096)
		for {
			n, err := stream.Read(buffer)
			if err != nil {
				return
			}
			news <- string(buffer[:n])
		}
	}()
	require.Contains(t, <-news, "retry:")
	s.Attempt("acme", d.ID)
	require.Contains(t, <-news, "event: change")
	require.Equal(t, http.StatusOK, answers("/console/tenants/acme/keys"), "a page that is not live is itself")
	for range 19 {
		require.Equal(t, http.StatusOK, answers("/console"))
	}
	require.Equal(t, http.StatusServiceUnavailable, answers("/console"), "one session has as many streams as pages can be looked at")
	begun := time.Now()
	s.pages.EndStreams()
	for range news {
	}
	require.Less(t, time.Since(begun), time.Second)
	session.Value = "phs_" + strings.Repeat("a", 43)
	require.Equal(t, http.StatusUnauthorized, answers("/console"))
}
