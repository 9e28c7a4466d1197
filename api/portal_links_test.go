package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
)

const portalLinks = "POST /v1/tenants/acme/portal-links"

func TestPortalLinks_AreChecked(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, body := range []string{`{}`, `{"role":"publish"}`, `{"role":"read","expires_in":"59s"}`, `{"role":"read","expires_in":"169h"}`,
		`{"role":"read","capabilities":["all"]}`, `{"role":"read","capabilities":["keys","keys"]}`, `{"role":"read","theme":{"accent":"red"}}`,
		`{"role":"read","theme":{"css":"x"}}`, `{"role":"read","theme":{"radius":"25"}}`, `{"role":"read","theme":{"font":"url(x)"}}`} {
		e.call(portalLinks, body).is(http.StatusUnprocessableEntity)
	}
	e.call(portalLinks, `{"role":"read","capabilities":["settings"]}`).is(http.StatusForbidden)
	e.asAdmin(portalLinks, `{"role":"read","capabilities":["settings"]}`).is(http.StatusCreated)
	made := e.call(portalLinks, `{"role":"tenant","expires_in":60,"name":"jane","theme":{"accent":"#0a58ca","radius":"4","font":"serif","mode":"dark"}}`).is(http.StatusCreated)
	require.Regexp(t, `^https://posthorn\.example/portal/open\?code=phc_\w{43}$`, made.text("url"))
	require.Regexp(t, `^pht_\w{43}$`, made.text("token"))
	require.NotContains(t, made.text("url"), made.text("token"))
}

func TestPortalLinks_ALogoComesFromAnAllowedOrigin(t *testing.T) {
	t.Parallel()
	link := func(url string) string { return fmt.Sprintf(`{"role":"read","theme":{"logo":%q}}`, url) }
	e := newEnv(t, func(_ *sender.Config, o *service.Options) {
		o.LogoOrigins = []string{"https://cdn.example", "https://img.example:8443", "http://plain.example"}
	})
	for _, url := range []string{"https://cdn.example/a.svg", "https://CDN.example:443/a.svg?v=1", "https://img.example:8443/", "https://cdn.example"} {
		e.call(portalLinks, link(url)).is(http.StatusCreated)
	}
	for _, url := range []string{"", "/a.svg", "a.svg", "//cdn.example/a.svg", "http://cdn.example/a.svg", "http://plain.example/a.svg", "https://plain.example/a.svg",
		"https://cdn.example.evil.example/a.svg", "https://evil.example/https://cdn.example", "https://img.example/a.svg", "https://cdn.example:8443/a.svg",
		"https://cdn.example@evil.example/a.svg", "https://jane@cdn.example/a.svg", "data:image/svg+xml,x", "javascript:alert(1)", "https://cdn.example/" + strings.Repeat("a", 2048)} {
		refused := e.call(portalLinks, link(url)).is(http.StatusUnprocessableEntity)
		require.Contains(t, refused.body, "theme.logo", url)
	}
	none := newEnv(t)
	none.call(portalLinks, link("https://cdn.example/a.svg")).is(http.StatusUnprocessableEntity)
}

func TestPortalLinks_APortalTokenMayWhatItsLinkAllows(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.Tenant("globex")
	hook := e.webhook("https://shop.example/hook")
	made := e.call(portalLinks, `{"role":"tenant","name":"jane"}`).is(http.StatusCreated)
	reader := e.call(portalLinks, `{"role":"read","capabilities":["keys"]}`).is(http.StatusCreated)
	try := func(token, method, path, body string) int {
		return e.answer(request{method: method, path: "/v1/tenants/" + path, body: body, key: token}).status
	}
	token, keys := made.text("token"), reader.text("token")
	require.Equal(t, http.StatusOK, try(token, "GET", "acme/webhooks", ""))
	require.Equal(t, http.StatusOK, try(token, "POST", "acme/webhooks/"+hook+"/pause", ""))
	require.Equal(t, http.StatusAccepted, try(token, "POST", "acme/events", `{"type":"order.created","data":{}}`))
	require.Equal(t, http.StatusNotFound, try(token, "GET", "globex/webhooks", ""))
	for path, method := range map[string]string{"acme/keys": "GET", "acme/audit": "GET", "acme/portal-links": "DELETE", "acme": "DELETE", "acme/keys/key_1": "DELETE"} {
		require.Equal(t, http.StatusForbidden, try(token, method, path, ""), path)
	}
	for _, token := range []string{token, keys} {
		require.Equal(t, http.StatusForbidden, try(token, "POST", "acme/keys", `{"role":"read"}`))
		require.Equal(t, http.StatusForbidden, try(token, "POST", "acme/portal-links", `{"role":"read"}`))
	}
	require.Equal(t, http.StatusOK, try(keys, "GET", "acme/keys", ""))
	require.Equal(t, http.StatusForbidden, try(keys, "DELETE", "acme/keys/key_1", ""), "to read is not to revoke")
	require.Equal(t, http.StatusForbidden, try(keys, "POST", "acme/webhooks/"+hook+"/resume", ""))

	entries := e.call("GET /v1/tenants/acme/audit?action=webhook.paused", "").is(http.StatusOK).json()
	entry := entries["data"].([]any)[0].(map[string]any)
	require.Equal(t, map[string]any{"kind": "link", "id": made.text("id"), "name": "jane"}, entry["actor"])
	mine := e.call("GET /v1/tenants/acme/audit?actor="+made.text("id"), "").is(http.StatusOK).json()
	require.Len(t, mine["data"], 1)

	e.call("DELETE /v1/tenants/acme/portal-links/"+made.text("id"), "").is(http.StatusNoContent)
	e.call("DELETE /v1/tenants/acme/portal-links/"+made.text("id"), "").is(http.StatusNotFound)
	require.Equal(t, http.StatusUnauthorized, try(token, "GET", "acme/webhooks", ""))
	require.Equal(t, http.StatusUnauthorized, try(token, "POST", "acme/events", `{"type":"order.created","data":{}}`))
	require.Equal(t, http.StatusOK, try(keys, "GET", "acme/webhooks", ""))
	e.Clock.Advance(time.Hour)
	require.Equal(t, http.StatusUnauthorized, try(keys, "GET", "acme/webhooks", ""), "an hour if nothing else is asked for")
}
