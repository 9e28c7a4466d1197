package systems_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/models"
)

// FuzzRequests checks that no request to any operation of a system causes a failure inside. A refusal has the system's
// own shape, and a refused request changes nothing.
func FuzzRequests(f *testing.F) {
	const form, multipart = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
	for system := range catalogued {
		s := &catalogued[system]
		for operation := range s.api(systems.Options{}).Operations() {
			for _, seed := range []struct{ contentType, query, body string }{
				{"application/json", "", s.body},
				{form, "", s.body},
				{form, "events=%ff&events=JOB_CREATED&sort=url", "url=https://a.example/%00&events[]=x&webhook_url=&active=1"},
				{multipart, "page=0&pageSize=1", "--x\r\nContent-Disposition: form-data; name=\"url\"\r\n\r\nhttps://a.example/\r\n--x--\r\n"},
				{"", "a=1;b=2", `{"url":"\ud800","url":null,"events":["x",{}],"id":1e9}`},
				{"text/plain", "event=JOB_CREATED", `{"webhookCalls":[{"uid":"x","webhookSettings":{"uid":{}}}],"secret":"********"}`},
			} {
				f.Add(uint8(system), uint8(operation), seed.contentType, seed.query, []byte(seed.body))
			}
		}
	}
	benches := make([]*systemstest.Bench, len(catalogued))
	operations := make([][]systems.Operation, len(catalogued))
	for i := range catalogued {
		benches[i] = systemstest.New(f, func(r gin.IRouter, o systems.Options) {
			api := catalogued[i].api(o)
			operations[i] = api.Operations()
			api.Mount(r)
		})
	}
	f.Fuzz(func(t *testing.T, system, operation uint8, contentType, query string, body []byte) {
		i := int(system) % len(catalogued)
		s, b := &catalogued[i], benches[i]
		o := &operations[i][int(operation)%len(operations[i])]
		before := webhooks(t, b)
		id := models.NewID("")
		if len(before) > 0 {
			id = systems.ID(&before[0])
		}
		target := "/" + s.name + strings.NewReplacer(":workspace", systemstest.Tenant, ":uid", id, ":uuid", id, ":id", id).Replace(o.Path)
		r := httptest.NewRequestWithContext(t.Context(), o.Method, target, strings.NewReader(string(body)))
		r.URL.RawQuery = query
		r.Header = http.Header{"Authorization": {s.authorize(b.Key)}, "Content-Type": {contentType}}
		answer := httptest.NewRecorder()
		b.Handler.ServeHTTP(answer, r)
		require.Less(t, answer.Code, http.StatusInternalServerError, "%s %s?%s %q: %s", o.Method, target, url.QueryEscape(query), body, answer.Body)
		if answer.Code >= http.StatusBadRequest {
			refusal(t, s.name, answer.Body.Bytes())
			require.Equal(t, before, webhooks(t, b))
		}
		if len(before) > 20 {
			_, err := b.Service.DeleteWebhook(t.Context(), systemstest.Tenant, before[0].ID)
			require.True(t, err == nil || o.Method == http.MethodDelete)
		}
	})
}

// webhooks returns the bench's webhooks.
func webhooks(t *testing.T, b *systemstest.Bench) []models.Webhook {
	t.Helper()
	all, _, err := b.Service.Webhooks(t.Context(), systemstest.Tenant, models.WebhookFilter{}, models.Page{Limit: 1000})
	require.NoError(t, err)
	return all
}
