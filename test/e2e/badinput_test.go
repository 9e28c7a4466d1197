package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

func badInputChangesNothing(x *tenant) {
	r := harness.NewReceiver(x, nil)
	w := x.hook(r.URL)
	x.api.Call(x, http.StatusAccepted, "POST "+x.path("/events"), `{"id":"taken","type":"order.created","data":{}}`)
	x.await("taken", "delivered")
	other := x.world.tenant(x.T)
	theirs := other.hook(r.URL)
	admin := x.world.server.API
	publisher := harness.API{URL: x.api.URL, Key: x.newKey(admin, "publish")}
	reader := harness.API{URL: x.api.URL, Key: x.newKey(admin, "read")}
	revoked := harness.API{URL: x.api.URL, Key: x.revokedKey(admin)}
	x.keep(publisher.Key, reader.Key, revoked.Key)

	var many []string
	for i := range 101 {
		many = append(many, fmt.Sprintf("X-Header-%d", i), "value")
	}
	const post = `{"type":"order.created","data":{}}`
	register := func(fields string) string { return `{"url":"` + r.URL + `",` + fields + `}` }
	events, hooks := "POST "+x.path("/events"), "POST "+x.path("/webhooks")

	cases := []struct {
		name   string
		route  string
		body   string
		status int
		says   []string     // must stand in the answer
		as     *harness.API // default: the tenant's own key
		header []string
	}{
		{name: "malformed JSON", route: events, body: `{"type":"order.created",`, status: 400},
		{name: "two values", route: events, body: post + post, status: 400},
		{name: "no body", route: events, status: 400},
		{name: "a field twice", route: events, body: `{"type":"order.created","type":"order.paid","data":{}}`, status: 400, says: []string{"type"}},
		{name: "not UTF-8", route: events, body: "{\"type\":\"order.created\",\"data\":\"\xff\"}", status: 400},
		{name: "unknown event type", route: events, body: `{"type":"order.lost","data":{}}`, status: 422, says: []string{`"type"`, "order.lost"}},
		{name: "no data", route: events, body: `{"type":"order.created"}`, status: 422, says: []string{`"data"`}},
		{name: "schema violated twice", route: events, body: `{"type":"invoice.sent","data":{"number":7,"total":-1}}`, status: 422, says: []string{"data.number", "data.total"}},
		{name: "required by the schema", route: events, body: `{"type":"invoice.sent","data":{}}`, status: 422, says: []string{"number", "total"}},
		{name: "unknown field", route: events, body: `{"type":"order.created","data":{},"when":1}`, status: 422, says: []string{`"when"`}},
		{name: "bad event id", route: events, body: `{"id":"a.b","type":"order.created","data":{}}`, status: 422, says: []string{`"id"`}},
		{name: "event id taken", route: events, body: `{"id":"taken","type":"order.created","data":{}}`, status: 409},
		{name: "body over 1 MiB", route: events, body: `{"type":"order.created","data":"` + strings.Repeat("x", 1<<20) + `"}`, status: 413},
		{name: "wrong content type", route: events, body: post, status: 415, header: []string{"Content-Type", "text/plain"}},
		{name: "too many headers", route: events, body: post, status: 431, header: many},
		{name: "idempotency key too long", route: events, body: post, status: 422, header: []string{"Idempotency-Key", strings.Repeat("k", 256)}},
		{name: "an empty batch", route: events + "/batch", body: `{"events":[]}`, status: 422, says: []string{`"events"`}},

		{name: "no URL", route: hooks, body: `{}`, status: 422, says: []string{`"url"`}},
		{name: "not a URL", route: hooks, body: `{"url":"receiver"}`, status: 422, says: []string{`"url"`}},
		{name: "another scheme", route: hooks, body: `{"url":"ftp://receiver.example/"}`, status: 422, says: []string{`"url"`}},
		{name: "credentials in the URL", route: hooks, body: `{"url":"https://u:p@receiver.example/"}`, status: 422, says: []string{`"url"`, "credentials"}},
		{name: "URL too long", route: hooks, body: `{"url":"https://receiver.example/` + strings.Repeat("x", 2048) + `"}`, status: 422, says: []string{`"url"`}},
		{name: "unknown type subscribed to", route: hooks, body: register(`"event_types":["order.created","order.lost"]`), status: 422, says: []string{"event_types[1]", "order.lost"}},
		{name: "wildcard without a match", route: hooks, body: register(`"event_types":["nothing.*"]`), status: 422, says: []string{"event_types[0]"}},
		{name: "a header of ours", route: hooks, body: register(`"headers":{"webhook-signature":"x"}`), status: 422, says: []string{"headers"}},
		{name: "weak secret", route: hooks, body: register(`"secret":"hunter2"`), status: 422, says: []string{`"secret"`}},
		{name: "impossible schedule", route: hooks, body: register(`"retry":{"backoff":0.5,"max":-1}`), status: 422, says: []string{"retry.backoff", "retry.max"}},
		{name: "impossible timeout", route: hooks, body: register(`"timeout":"2h"`), status: 422, says: []string{`"timeout"`}},
		{name: "unknown profile", route: hooks, body: register(`"profile":"fax"`), status: 422, says: []string{`"profile"`}},
		{name: "unknown field of a webhook", route: hooks, body: register(`"colour":"red"`), status: 422, says: []string{"colour"}},
		{name: "resuming what is not paused", route: hooks + "/" + "nowhere/resume", status: 404},

		{name: "no key", route: events, body: post, status: 401, as: &harness.API{URL: x.api.URL}},
		{name: "wrong key", route: events, body: post, status: 401, as: &harness.API{URL: x.api.URL, Key: "wrong"}},
		{name: "revoked key", route: events, body: post, status: 401, as: &revoked},
		{name: "publisher registers", route: hooks, body: register(`"name":"n"`), status: 403, as: &publisher},
		{name: "reader publishes", route: events, body: post, status: 403, as: &reader},
		{name: "tenant makes tenants", route: "PUT /v1/tenants/mine", body: `{"name":"n"}`, status: 404},
		{name: "another tenant's events", route: "POST " + other.path("/events"), body: post, status: 404},
		{name: "another tenant's webhook", route: "GET " + x.path("/webhooks/"+theirs.ID), status: 404},
		{name: "deleting another tenant's webhook", route: "DELETE " + x.path("/webhooks/"+theirs.ID), status: 404},
		{name: "changing to nonsense", route: "PATCH " + x.path("/webhooks/"+w.ID), body: `{"name":"changed","url":"nowhere"}`, status: 422},
		{name: "no such path", route: "GET " + x.path("/nothing"), status: 404},
		{name: "no such method", route: "PUT " + x.path("/events"), body: post, status: 405},
	}
	state := func() string {
		var all strings.Builder
		for _, of := range []*tenant{x, other} {
			for _, list := range []string{"/webhooks", "/events", "/deliveries", "/keys"} {
				all.Write(of.api.Call(x, http.StatusOK, "GET "+of.path(list), nil).Body)
			}
		}
		return lastUse.ReplaceAllString(all.String(), "")
	}
	before := state()
	for _, c := range cases {
		x.Run(c.name, func(t *testing.T) {
			api := x.api
			if c.as != nil {
				api = *c.as
			}
			var body any
			if c.body != "" {
				body = c.body
			}
			reply := api.Call(t, c.status, c.route, body, c.header...)
			require.Equal(t, "application/problem+json", reply.Header.Get("Content-Type"))
			problem := harness.Read[struct {
				Title, Detail string
				Status        int
			}](t, reply)
			require.Equal(t, c.status, problem.Status)
			require.NotEmpty(t, problem.Title)
			require.NotEmpty(t, problem.Detail)
			for _, says := range c.says {
				require.Contains(t, string(reply.Body), says)
			}
			require.Equal(t, before, state())
		})
	}
	require.Equal(x, map[string]int{"taken": 1}, r.Counts())
}

// revokedKey makes a key and takes it back.
func (x *tenant) revokedKey(admin harness.API) string {
	x.Helper()
	reply := admin.Call(x, http.StatusCreated, "POST "+x.path("/keys"), object{"name": "lost", "role": "tenant"})
	key := harness.Read[struct{ ID, Key string }](x, reply)
	admin.Call(x, http.StatusNoContent, "DELETE "+x.path("/keys/"+key.ID), nil)
	return key.Key
}

// lastUse is written a moment after a call, whatever came of it.
var lastUse = regexp.MustCompile(`"last_used_at":("[^"]*"|null),?`)
