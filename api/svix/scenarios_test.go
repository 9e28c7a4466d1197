package svix_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/backoff"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// These tests check over plain HTTP what Svix's own end-to-end tests check of its server.

func TestSvixScenarios_AReceiverThatRefuses(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	receiver := systemstest.NewReceiver(t)
	receiver.Answer(http.StatusForbidden)
	ep := c.endpoint(`{"url":"` + receiver.URL + `"}`)
	msg := c.message("order.created", `{}`)
	for range backoff.Default.Max + 5 {
		c.attempt(msg)
	}
	require.Len(t, receiver.Take(), backoff.Default.Max+1, "the first attempt, and one for each wait of the schedule")
	attempts := rows(c.ok(200, "GET", app+"/attempt/msg/"+msg, ""))
	require.Len(t, attempts, backoff.Default.Max+1)
	for _, a := range attempts {
		require.Equal(t, []any{2.0, "fail", 403.0}, []any{a["status"], a["statusText"], a["responseStatusCode"]})
	}
	row := rows(c.ok(200, "GET", app+"/endpoint/"+ep+"/msg?status=2", ""))[0]
	require.Equal(t, []any{msg, "fail", nil}, []any{row["id"], row["statusText"], row["nextAttempt"]})

	_, err := c.Service.UpdateWebhook(t.Context(), systemstest.Tenant, strings.Replace(ep, "ep_", "wh_", 1), service.WebhookChange{Retry: &models.Retry{Max: new(0)}})
	require.NoError(t, err)
	once := c.message("order.created", `{}`)
	c.attempt(once)
	c.attempt(once)
	require.Len(t, receiver.Take(), 1, "a schedule without waits is one attempt")
	require.Len(t, ids(c.ok(200, "GET", app+"/attempt/msg/"+once, "")), 1)
}

func TestSvixScenarios_RedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	target := systemstest.NewReceiver(t)
	redirect := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusPermanentRedirect))
	t.Cleanup(redirect.Close)
	c.endpoint(`{"url":"` + redirect.URL + `"}`)
	msg := c.message("order.created", `{}`)
	c.attempt(msg)
	require.Empty(t, target.Take())
	a := rows(c.ok(200, "GET", app+"/attempt/msg/"+msg, ""))[0]
	require.Equal(t, []any{3.0, 308.0}, []any{a["status"], a["responseStatusCode"]})
}

// One of several endpoints fails, and recovers: the others get the message once.
func TestSvixScenarios_OneOfSeveralEndpointsFails(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	good, bad := systemstest.NewReceiver(t), systemstest.NewReceiver(t)
	bad.Answer(http.StatusServiceUnavailable)
	healthy, failing := c.endpoint(`{"url":"`+good.URL+`"}`), c.endpoint(`{"url":"`+bad.URL+`"}`)
	msg := c.message("order.created", `{}`)
	c.attempt(msg)
	status := map[any]any{}
	for _, d := range rows(c.ok(200, "GET", app+"/msg/"+msg+"/endpoint", "")) {
		status[d["id"]] = d["statusText"]
	}
	require.Equal(t, map[any]any{healthy: "success", failing: "sending"}, status)
	bad.Answer(http.StatusOK)
	c.attempt(msg)
	require.Len(t, good.Take(), 1)
	require.Len(t, bad.Take(), 2)
	for _, d := range rows(c.ok(200, "GET", app+"/msg/"+msg+"/endpoint", "")) {
		require.Equal(t, "success", d["statusText"])
	}
}

// A deleted endpoint gets nothing any more.
func TestSvixScenarios_DeletedThings(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	receiver := systemstest.NewReceiver(t)
	ep := c.endpoint(`{"url":"` + receiver.URL + `"}`)
	waiting := c.message("order.created", `{}`)
	c.ok(204, "DELETE", app+"/endpoint/"+ep, "")
	later := c.message("order.created", `{}`)
	c.attempt(waiting)
	c.attempt(later)
	require.Empty(t, receiver.Take())
	row := rows(c.ok(200, "GET", app+"/msg/"+waiting+"/endpoint?expanded_statuses=true", ""))[0]
	require.Equal(t, []any{ep, 4.0, "canceled"}, []any{row["id"], row["status"], row["statusText"]})
	require.InDelta(t, 0, rows(c.ok(200, "GET", app+"/msg/"+waiting+"/endpoint", ""))[0]["status"], 0, "clients that do not know of it get success, as in Svix")
	require.Empty(t, ids(c.ok(200, "GET", app+"/msg/"+later+"/endpoint", "")))
	c.ok(404, "POST", app+"/msg/"+waiting+"/endpoint/"+ep+"/resend", "")

	c.as(servicetest.AdminKey).ok(204, "DELETE", app, "")
	c.as(servicetest.AdminKey).ok(404, "POST", app+"/msg", `{"eventType":"order.created","payload":{}}`)
	c.ok(401, "POST", app+"/msg", `{"eventType":"order.created","payload":{}}`)
}

// A disabled endpoint gets nothing, and what would send to it again is refused.
func TestSvixScenarios_DisabledEndpoints(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	receiver := systemstest.NewReceiver(t)
	early := c.message("order.created", `{}`)
	id := c.endpoint(`{"url":"` + receiver.URL + `"}`)
	waiting := c.message("order.created", `{}`)
	ep := app + "/endpoint/" + id
	c.ok(200, "PATCH", ep, `{"disabled":true}`)
	c.attempt(waiting)
	c.attempt(c.message("order.created", `{}`))
	since := `{"since":"` + c.Clock.Now().Add(-time.Hour).UTC().Format(time.RFC3339) + `"}`
	for _, call := range []string{"/recover", "/replay-missing", "/bulk-replay"} {
		require.Equal(t, "conflict", c.ok(409, "POST", ep+call, since)["code"], call)
	}
	c.ok(409, "POST", app+"/msg/"+waiting+"/endpoint/"+id+"/resend", "")
	c.ok(202, "POST", app+"/msg/"+early+"/endpoint/"+id+"/resend", "")
	c.attempt(early)
	require.Empty(t, receiver.Take())
	require.Equal(t, "pending", rows(c.ok(200, "GET", app+"/msg/"+early+"/endpoint", ""))[0]["statusText"], "it is held")
}

// Every page of attempts, forwards and back, by endpoint and by message: none is lost and none comes twice.
func TestSvixScenarios_PagesOfAttempts(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	receiver := systemstest.NewReceiver(t)
	receiver.Answer(http.StatusInternalServerError)
	ep := c.endpoint(`{"url":"` + receiver.URL + `"}`)
	first, second := c.message("order.created", `{}`), c.message("order.paid", `{}`)
	var times []string
	for range 4 {
		c.attempt(first)
		c.attempt(second)
		c.Clock.Advance(time.Minute)
		times = append(times, c.Clock.Now().UTC().Format(time.RFC3339))
		c.Clock.Advance(time.Minute)
	}
	for path, n := range map[string]int{"/attempt/endpoint/" + ep: 8, "/attempt/msg/" + first: 4} {
		list := func(query string) map[string]any { return c.ok(200, "GET", app+path+"?"+query, "") }
		all := ids(list(""))
		require.Len(t, all, n)
		for limit := 1; limit <= n; limit++ {
			size := "limit=" + string(rune('0'+limit))
			var forth, back []string
			page := list(size)
			for {
				forth = append(forth, ids(page)...)
				if page["done"] == true {
					break
				}
				page = list(size + "&iterator=" + text(page, "iterator"))
			}
			require.Equal(t, all, forth)
			for page = list(size + "&iterator=-" + all[n-1]); ; page = list(size + "&iterator=" + text(page, "prevIterator")) {
				back = append(append([]string{}, ids(page)...), back...)
				if page["done"] == true {
					break
				}
			}
			require.Equal(t, all[:n-1], back)
		}
		for i, at := range times {
			after, before := ids(list("after="+at)), ids(list("before="+at))
			require.Equal(t, all, append(append([]string{}, after...), before...))
			require.Len(t, before, (i+1)*n/4)
			for _, end := range times[i:] {
				between := ids(list("after=" + at + "&before=" + end))
				require.Equal(t, ids(list("after=" + at))[len(ids(list("after="+end))):], between)
			}
		}
	}
	for _, query := range []string{"event_types=order.paid", "event_types[]=order.paid", "event_types[0]=order.paid", "event_types=order.paid,none"} {
		require.Equal(t, []string{second}, ids(c.ok(200, "GET", app+"/endpoint/"+ep+"/msg?"+query, "")), query)
		require.Len(t, ids(c.ok(200, "GET", app+"/attempt/endpoint/"+ep+"?"+query, "")), 4, query)
	}
}

func TestSvixScenarios_ListsOfApplicationsAndTypesHaveTwoOrders(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	admin := c.as(servicetest.AdminKey)
	for _, name := range []string{"a", "b"} {
		admin.ok(201, "PUT", api+"/app/app_"+name, `{"name":"n"}`)
	}
	for path, want := range map[string][]string{"/app": {"app_a", "app_acme", "app_b", "app_globex"}, "/event-type": nil} {
		get := func(query string) map[string]any { return admin.ok(200, "GET", api+path+"?"+query, "") }
		up := ids(get(""))
		if want != nil {
			require.Equal(t, want, up)
		}
		var down []string
		for page := get("order=descending&limit=1"); ; page = get("order=descending&limit=1&iterator=" + text(page, "iterator")) {
			down = append(down, ids(page)...)
			if page["done"] == true {
				break
			}
		}
		for i := range up {
			require.Equal(t, up[i], down[len(down)-1-i])
		}
		admin.ok(422, "GET", api+path+"?order=sideways", "")
	}
}

// Signatures of both kinds come together while a secret of one replaces one of the other.
func TestSvixScenarios_KeysOfBothKinds(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	receiver := systemstest.NewReceiver(t)
	const private = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	secret := app + "/endpoint/" + c.endpoint(`{"url":"`+receiver.URL+`","secret":"`+private+`"}`) + "/secret"
	require.Equal(t, "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", c.ok(200, "GET", secret, "")["key"], "no receiver needs the private key")
	c.ok(204, "POST", secret+"/rotate", `{"key":"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`)
	c.attempt(c.message("order.created", `{}`))
	signatures := receiver.Take()[0].Header.Get("Svix-Signature")
	require.Contains(t, signatures, "v1,")
	require.Contains(t, signatures, "v1a,")
}

// In production receivers are https.
func TestSvixScenarios_ReceiversAreHTTPSAlone(t *testing.T) {
	t.Parallel()
	c := newClient(t, servicetest.Strict)
	detail := c.ok(422, "POST", app+"/endpoint", `{"url":"http://a.example"}`)["detail"].([]any)[0].(map[string]any)
	require.Equal(t, []any{"body", "url"}, detail["loc"])
}

// A call without a valid key is refused in JSON.
func TestSvixScenarios_RefusalsOfKeys(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	for _, key := range []string{"", "nonsense", "pht_nonsense", "testsk_abc.eu"} {
		require.Equal(t, "authentication_failed", c.as(key).ok(401, "GET", app, "")["code"])
		require.NotEmpty(t, c.as(key).ok(401, "POST", api+"/auth/logout", "")["detail"])
	}
	require.Equal(t, "insufficient access", c.ok(403, "GET", api+"/app", "")["code"])
}

// Names that stand in paths unescaped, as Svix's Go client has them, are found.
func TestSvixScenarios_NamesInPaths(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	for _, name := range []string{"a.b", "A-b_c", "123", "secret", strings.Repeat("x", 256)} {
		c.ok(201, "POST", app+"/endpoint", `{"url":"https://a.example","uid":"`+name+`"}`)
		require.Equal(t, name, c.ok(200, "GET", app+"/endpoint/"+name, "")["uid"])
		require.Equal(t, name, c.ok(200, "GET", app+"/endpoint/"+url.PathEscape(name)+"/", "")["uid"])
		c.ok(202, "POST", app+"/msg", `{"eventType":"order.created","payload":{},"eventId":"`+name+`"}`)
		require.Equal(t, name, c.ok(200, "GET", app+"/msg/"+name, "")["eventId"])
		require.Empty(t, ids(c.ok(200, "GET", app+"/attempt/msg/"+name, "")))
	}
}
