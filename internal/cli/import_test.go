package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/client"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// importSvix imports, and returns the reports, by their subject.
func importSvix(t *testing.T, into shell, from, token string) (map[string]imported, error) {
	t.Helper()
	out, err := posthorn(t, append([]string{"import", "svix", "--from=" + from, "--token=" + token, "-o", "json"}, into.args...)...)
	var report importReport
	require.NoError(t, json.Unmarshal([]byte(out), &report), "%s: %v", out, err)
	all := map[string]imported{}
	for _, i := range report.Data {
		require.NotContains(t, all, i.From)
		all[i.From] = *i
	}
	return all, err
}

// results returns the results of things that were not refused, without notes.
func results(all map[string]imported) map[string]string {
	of := map[string]string{}
	for from, i := range all {
		of[from] = i.Result
	}
	return of
}

// webhookNamed reads a webhook by its id or uid, as the API shows it.
func webhookNamed(t *testing.T, s shell, tenant, name string) client.Webhook {
	t.Helper()
	out := s.run("webhooks", "get", name, "--tenant="+tenant, "-o", "json")
	var w client.Webhook
	require.NoError(t, json.Unmarshal([]byte(out), &w))
	return w
}

// secretOf reads a webhook's secret, on /svix.
func secretOf(t *testing.T, url, tenant, id string) string {
	t.Helper()
	s := &svixServer{url + "/svix", servicetest.AdminKey, http.DefaultClient}
	var secret struct{ Key string }
	require.NoError(t, s.get(t.Context(), "/app/app_"+tenant+"/endpoint/ep_"+strings.TrimPrefix(strings.TrimPrefix(id, "wh_"), "ep_")+"/secret", nil, &secret))
	return secret.Key
}

// A Posthorn's own /svix is a Svix server as well.
func TestImport_FromOurOwnSvix(t *testing.T) {
	t.Parallel()
	there, source, _ := installed(t)
	_, url, _ := installed(t)
	into := shell{t, []string{"--url=" + url, "--key=" + servicetest.AdminKey}}
	there.EventTypes("user.created")
	_, err := there.Service.UpdateTenant(t.Context(), tenantID(t, there, "demo"), service.TenantChange{Name: new("Demo Ltd")})
	require.NoError(t, err)
	create := func(c service.WebhookChange) models.Webhook {
		w, _, err := there.Service.CreateWebhook(t.Context(), tenantID(t, there, "demo"), c)
		require.NoError(t, err)
		return w
	}
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	first := create(service.WebhookChange{URL: new("https://shop.example/hooks?a=b"), Profile: "svix", EventTypes: &[]string{"order.created"}, Secret: new(secret),
		Description: new("Shop"), RateLimit: new(7.0), Headers: &map[string]string{"X-Shop": "one", "X-Token": "hidden"}})
	off := create(service.WebhookChange{URL: new("https://shop.example/off"), Profile: "svix", Active: new(false)})
	standard := create(service.WebhookChange{URL: new("https://shop.example/standard")})
	endpoint := func(w models.Webhook) string { return "app_demo/ep_" + strings.TrimPrefix(w.ID, "wh_") }

	all, err := importSvix(t, into, source+"/svix/", servicetest.AdminKey)
	require.ErrorContains(t, err, "could not be imported")
	require.Contains(t, all[endpoint(standard)].Notes[0], "403")
	require.Equal(t, importRefused, all[endpoint(standard)].Result)
	require.Equal(t, importUpdated, all["app_demo"].Result, "the tenant of installed has another name")
	require.Equal(t, importCreated, all["user.created"].Result)
	require.Equal(t, importCreated, all[endpoint(first)].Result)
	require.Equal(t, []string{"header X-Token: Svix does not show its value, set it by hand"}, all[endpoint(first)].Notes)
	require.Contains(t, into.run("tenants", "get", "demo"), "Demo Ltd")

	w := webhookNamed(t, into, "demo", strings.TrimPrefix(first.ID, "wh_"))
	require.Equal(t, "demo/"+w.ID, all[endpoint(first)].To)
	require.Equal(t, []any{"https://shop.example/hooks?a=b", "Shop", []string{"order.created"}, "svix", "active", 7.0},
		[]any{w.URL, w.Description, w.EventTypes, w.Profile, w.Status, *w.RateLimit})
	require.Len(t, w.Headers, 1)
	require.Contains(t, w.Headers, "X-Shop")
	require.Equal(t, secret, secretOf(t, url, "demo", w.ID))
	require.Equal(t, "disabled", webhookNamed(t, into, "demo", strings.TrimPrefix(off.ID, "wh_")).Status)

	again, err := importSvix(t, into, source+"/svix", servicetest.AdminKey)
	require.Error(t, err)
	for from, i := range again {
		if i.Result != importRefused {
			require.Equal(t, importUnchanged, i.Result, from)
		}
	}
	require.Len(t, again, len(all))

	table, err := posthorn(t, append([]string{"import", "svix", "--from=" + source + "/svix", "--token=" + servicetest.AdminKey}, into.args...)...)
	require.Error(t, err)
	require.Regexp(t, `WHAT +AT SVIX +HERE +RESULT +NOT KEPT\n`, table)
	require.Regexp(t, `application +app_demo +demo +unchanged +-\n`, table)
}

func tenantID(t *testing.T, env *servicetest.Env, slug string) string {
	t.Helper()
	found, err := env.Store.TenantBySlug(t.Context(), slug)
	require.NoError(t, err)
	return found.ID
}

// svixLike is a server that answers as Svix does.
type svixLike struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]string // by path and, behind a "?", iterator
	busy    int               // calls that are still answered with 429
	asked   []string
}

func newSvixLike(t *testing.T, answers map[string]string) *svixLike {
	t.Helper()
	s := &svixLike{answers: answers}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		key := strings.TrimPrefix(r.URL.Path, "/api/v1")
		if iterator := r.URL.Query().Get("iterator"); iterator != "" {
			key += "?" + iterator
		}
		s.asked = append(s.asked, r.Method+" "+key)
		answer, found := s.answers[key]
		switch {
		case r.Header.Get("Authorization") != "Bearer t0ken":
			w.WriteHeader(http.StatusUnauthorized)
			answer = `{"code":"authentication_failed","detail":"Invalid token"}`
		case s.busy > 0:
			s.busy--
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		case !found:
			w.WriteHeader(http.StatusNotFound)
			answer = `{"code":"not_found","detail":"Entity not found"}`
		}
		_, _ = fmt.Fprint(w, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *svixLike) set(key, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[key] = answer
}

const secretBefore, secretAfter = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

// values of Svix that Posthorn may not have
func svixData() map[string]string {
	const noHeaders = `{"headers":{},"sensitive":[]}`
	return map[string]string{
		"/event-type": `{"iterator":"archived.type","done":false,"data":[
			{"name":"order.paid","description":"Paid","schemas":{"9":{"type":"string"},"10":{"type":"object"}},"groupName":"orders","featureFlags":["beta"]},
			{"name":"archived.type","description":"Old","archived":true}]}`,
		"/event-type?archived.type": `{"iterator":"webhook.mine","done":true,"data":[
			{"name":"odd.schema","description":"Odd","schemas":{"1":{"type":"colour"}}},
			{"name":"webhook.mine","description":"A name of Posthorn's own"}]}`,
		"/app": `{"iterator":"app_2b","done":true,"data":[
			{"id":"app_2a","uid":"crm.4711","name":"Acme","metadata":{"plan":"gold"},"throttleRate":9},
			{"id":"app_2b","uid":"demo","name":"Taken","metadata":{}}]}`,
		"/app/app_2a/endpoint": `{"iterator":"ep_2","done":false,"data":[
			{"id":"ep_1","uid":"main.hook","url":"https://shop.example/1","description":"One","eventTypes":["order.paid"],"channels":["shop-1"],"throttleRate":50,"metadata":{"k":"v"}},
			{"id":"ep_2","url":"https://shop.example/2","description":"","disabled":true,"filterTypes":null,"metadata":{}}]}`,
		"/app/app_2a/endpoint?ep_2": `{"iterator":"ep_5","done":true,"data":[
			{"id":"ep_3","url":"https://shop.example/3","filterTypes":["never.made"],"metadata":{}},
			{"id":"ep_4","url":"https://shop.example/4","metadata":{}},
			{"id":"ep_5","uid":"ep_like","url":"https://shop.example/5","metadata":{}}]}`,
		"/app/app_2b/endpoint":                     `{"iterator":null,"done":true,"data":[]}`,
		"/app/app_2a/endpoint/ep_1/secret":         `{"key":"` + secretBefore + `"}`,
		"/app/app_2a/endpoint/ep_1/headers":        `{"headers":{"X-Plain":"yes"},"sensitive":["X-Secret"]}`,
		"/app/app_2a/endpoint/ep_2/secret":         `{"key":"` + secretBefore + `"}`,
		"/app/app_2a/endpoint/ep_2/headers":        noHeaders,
		"/app/app_2a/endpoint/ep_3/secret":         `{"key":"` + secretBefore + `"}`,
		"/app/app_2a/endpoint/ep_3/headers":        noHeaders,
		"/app/app_2a/endpoint/ep_4/secret":         `{"key":"whpk_bm8gcHJpdmF0ZSBrZXkgaXMgc2hvd24gaGVyZSE="}`,
		"/app/app_2a/endpoint/ep_4/headers":        noHeaders,
		"/app/app_2a/endpoint/ep_5/secret":         `{"key":"` + secretBefore + `"}`,
		"/app/app_2a/endpoint/ep_5/headers":        noHeaders,
		"/app/app_2a/endpoint/ep_5/transformation": `{"code":"function handler(w) { return w }","enabled":true}`,
	}
}

func TestImport_FromSvix(t *testing.T) {
	t.Parallel()
	env, url, _ := installed(t)
	into := shell{t, []string{"--url=" + url, "--key=" + servicetest.AdminKey}}
	svix := newSvixLike(t, svixData())
	svix.busy = 2
	all, err := importSvix(t, into, svix.URL, "t0ken")
	require.EqualError(t, err, "3 of 11 could not be imported")
	require.Equal(t, map[string]string{
		"order.paid": importCreated, "archived.type": importCreated, "odd.schema": importCreated, "webhook.mine": importRefused,
		"app_2a": importCreated, "app_2b": importCreated,
		"app_2a/ep_1": importCreated, "app_2a/ep_2": importCreated, "app_2a/ep_3": importRefused, "app_2a/ep_4": importRefused, "app_2a/ep_5": importCreated,
	}, results(all))
	for from, notes := range map[string][]string{
		"order.paid":    {"schemas: of 2 versions only 10 is kept"},
		"archived.type": {},
		"odd.schema":    {"schema: "},
		"webhook.mine":  {"422: "},
		"app_2a":        {},
		"app_2b":        {`uid "demo": 409`},
		"app_2a/ep_1":   {"header X-Secret: "},
		"app_2a/ep_2":   {},
		"app_2a/ep_3":   {"never.made"},
		"app_2a/ep_4":   {"register it by hand"},
		"app_2a/ep_5":   {`uid "ep_like": `, "transformation: "},
	} {
		require.Len(t, all[from].Notes, len(notes), "%s: %v", from, all[from].Notes)
		for i, note := range notes {
			require.Contains(t, all[from].Notes[i], note, from)
		}
	}
	require.Contains(t, into.run("tenants", "get", "crm.4711"), "plan=gold")
	require.Equal(t, "object", into.json("event-types", "get", "order.paid")["schema"].(map[string]any)["type"])
	require.Equal(t, "orders", into.json("event-types", "get", "order.paid")["category"])
	require.Equal(t, true, into.json("event-types", "get", "archived.type")["archived"])
	require.Equal(t, []any{"beta"}, into.json("event-types", "get", "order.paid")["feature_flags"])
	require.InDelta(t, 9, into.json("tenants", "get", "2a")["limits"].(map[string]any)["rate"], 0)
	one, two := webhookNamed(t, into, "2a", "main.hook"), webhookNamed(t, into, "crm.4711", "2")
	require.Equal(t, []any{"https://shop.example/1", "One", []string{"order.paid"}, []string{"shop-1"}, map[string]string{"k": "v"}, 50.0, "active"},
		[]any{one.URL, one.Description, one.EventTypes, one.Channels, one.Metadata, *one.RateLimit, one.Status})
	require.Equal(t, []any{"https://shop.example/2", []string{}, "disabled", (*float64)(nil)}, []any{two.URL, two.EventTypes, two.Status, two.RateLimit})
	require.Equal(t, secretBefore, secretOf(t, url, "2a", one.ID))
	webhookNamed(t, into, "2a", "5")
	for _, call := range svix.asked {
		require.True(t, strings.HasPrefix(call, "GET "), "it changes nothing at Svix: %s", call)
	}

	// The second import changes nothing, and values set here by hand stay.
	tenant := tenantID(t, env, "2a")
	_, err = env.Service.UpdateWebhook(t.Context(), tenant, one.ID, service.WebhookChange{Headers: &map[string]string{"X-Plain": "yes", "x-secret": "by hand"}})
	require.NoError(t, err)
	again, err := importSvix(t, into, svix.URL, "t0ken")
	require.Error(t, err)
	for from, result := range results(all) {
		if result == importCreated {
			require.Equal(t, importUnchanged, again[from].Result, "%s: %v", from, again[from].Notes)
		}
	}
	require.Empty(t, again["app_2a/ep_1"].Notes, "the header is there now")
	w, err := env.Service.Webhook(t.Context(), tenant, one.ID)
	require.NoError(t, err)
	headers, err := env.Service.HeaderValues(&w)
	require.NoError(t, err)
	require.Equal(t, "by hand", headers["x-secret"]+headers["X-Secret"])

	// Changes at Svix arrive here. A secret that was rotated there is rotated here.
	into.run("webhooks", "pause", one.ID, "--tenant=2a")
	svix.set("/app/app_2a/endpoint", `{"iterator":"ep_2","done":true,"data":[
		{"id":"ep_1","uid":"main.hook","url":"https://shop.example/moved","description":"One","eventTypes":["order.paid"],"metadata":{}},
		{"id":"ep_2","uid":"second","url":"https://shop.example/2","description":"","disabled":true,"metadata":{}}]}`)
	svix.set("/app/app_2a/endpoint/ep_1/secret", `{"key":"`+secretAfter+`"}`)
	changed, err := importSvix(t, into, svix.URL, "t0ken")
	require.EqualError(t, err, "1 of 8 could not be imported")
	require.Equal(t, importUpdated, changed["app_2a/ep_1"].Result)
	require.Equal(t, []string{"enabled at Svix; it is paused here, and stays so"}, changed["app_2a/ep_1"].Notes)
	require.Equal(t, importUpdated, changed["app_2a/ep_2"].Result)
	one = webhookNamed(t, into, "2a", "main.hook")
	require.Equal(t, []any{"https://shop.example/moved", []string{}, "paused", (*float64)(nil)}, []any{one.URL, one.Channels, one.Status, one.RateLimit})
	require.Equal(t, secretAfter, secretOf(t, url, "2a", one.ID))
	require.Equal(t, two.ID, webhookNamed(t, into, "2a", "second").ID, "the same webhook with the uid that it has got")

	// --disabled applies only to new webhooks. One that is enabled by hand stays enabled.
	svix.set("/app/app_2b/endpoint", `{"iterator":"ep_6","done":true,"data":[{"id":"ep_6","url":"https://shop.example/6","metadata":{}}]}`)
	svix.set("/app/app_2b/endpoint/ep_6/secret", `{"key":"`+secretBefore+`"}`)
	svix.set("/app/app_2b/endpoint/ep_6/headers", `{}`)
	into.args = append(into.args, "--disabled")
	_, err = importSvix(t, into, svix.URL, "t0ken")
	require.Error(t, err)
	into.args = into.args[:len(into.args)-1]
	require.Equal(t, "disabled", webhookNamed(t, into, "2b", "6").Status)
	require.Equal(t, "paused", webhookNamed(t, into, "2a", "main.hook").Status)
	require.Equal(t, secretBefore, secretOf(t, url, "2b", "ep_6"), "on /svix by its old id")

	// Disabled at Svix, it is disabled here.
	into.run("webhooks", "resume", one.ID, "--tenant=2a")
	svix.set("/app/app_2a/endpoint", `{"iterator":"ep_1","done":true,"data":[{"id":"ep_1","uid":"main.hook","url":"https://shop.example/moved","disabled":true,"metadata":{}}]}`)
	_, err = importSvix(t, into, svix.URL, "t0ken")
	require.Error(t, err)
	require.Equal(t, "disabled", webhookNamed(t, into, "2a", "main.hook").Status)
}

func TestImport_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, tenant, admin := shells(t)
	svix := newSvixLike(t, svixData())
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	require.Contains(t, admin.fails(1, "import", "svix", "--from="+svix.URL), "--token (SVIX_AUTH_TOKEN) must be set")
	require.Contains(t, admin.fails(1, "import", "svix", "--from=svix", "--token=t"), "--from: ")
	require.Contains(t, admin.fails(exitNotAllowed, "import", "svix", "--from="+svix.URL, "--token=t"), "Svix answers 401: Invalid token")
	require.Contains(t, admin.fails(exitLater, "import", "svix", "--from="+gone.URL, "--token=t"), "no Svix server answers at "+gone.URL)
	require.Contains(t, tenant.fails(exitNotAllowed, "import", "svix", "--from="+svix.URL, "--token=t0ken"), "403: ")
	svix.set("/event-type", `{"iterator":"x","done":false,"data":[]}`)
	svix.set("/event-type?x", `{"iterator":"x","done":false,"data":[]}`)
	require.Contains(t, admin.fails(1, "import", "svix", "--from="+svix.URL, "--token=t0ken"), "does not end")
	svix.set("/event-type", `<html>`)
	require.Contains(t, admin.fails(1, "import", "svix", "--from="+svix.URL, "--token=t0ken"), "is not one of Svix's")
}

func TestImport_PatientWaitsAsLongAsItIsAsked(t *testing.T) {
	t.Parallel()
	statuses, retryAfter := []int{}, ""
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 10)
		n, _ := r.Body.Read(body)
		bodies = append(bodies, string(body[:n]))
		status := statuses[0]
		if len(statuses) > 1 {
			statuses = statuses[1:]
		}
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	var waited []time.Duration
	p := patient{http.DefaultClient, func(_ context.Context, d time.Duration) error {
		waited = append(waited, d)
		return nil
	}}
	for _, tt := range []struct {
		name, method, retryAfter string
		statuses                 []int
		want                     int
		waits                    []time.Duration
	}{
		{"done", "GET", "", []int{200}, 200, nil},
		{"not found", "GET", "", []int{404}, 404, nil},
		{"too many", "POST", "3", []int{429, 429, 201}, 201, []time.Duration{3 * time.Second, 3 * time.Second}},
		{"far too many", "POST", "86400", []int{429, 201}, 201, []time.Duration{time.Minute}},
		{"away", "GET", "", []int{503, 502, 504, 200}, 200, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}},
		{"a change that may have been made", "POST", "", []int{503}, 503, nil},
		{"for ever", "GET", "1", []int{503}, 503, []time.Duration{time.Second, time.Second, time.Second, time.Second, time.Second, time.Second, time.Second}},
	} {
		statuses, retryAfter, waited, bodies = tt.statuses, tt.retryAfter, nil, nil
		r, err := http.NewRequestWithContext(t.Context(), tt.method, server.URL, strings.NewReader("body"))
		require.NoError(t, err)
		response, err := p.Do(r)
		require.NoError(t, err, tt.name)
		require.NoError(t, response.Body.Close())
		require.Equal(t, tt.want, response.StatusCode, tt.name)
		require.Equal(t, tt.waits, waited, tt.name)
		require.Len(t, bodies, len(tt.waits)+1)
		for _, body := range bodies {
			require.Equal(t, "body", body, tt.name)
		}
	}
}
