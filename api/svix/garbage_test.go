package svix_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/svix"
	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/servicetest"
)

// For any input to any call, the answer is JSON that names the mistake or reports success. It is never a failure
// inside.
func TestSvixGarbage_GarbageIsRefusedInSvixsShape(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	var operations []systems.Operation
	router := gin.New()
	svix.Mount(router, systems.Options{Service: c.Service, Mounted: func(a *systems.API) { operations = a.Operations() }})
	c.Handler = router
	admin := c.as(servicetest.AdminKey)
	ep := c.endpoint(`{"url":"http://127.0.0.1:1","uid":"mine"}`)
	msg := c.message("order.created", `{}`)
	names := regexp.MustCompile(`:[a-z_]+`)
	valid := strings.NewReplacer(":app_id", "app_acme", ":endpoint_id", ep, ":msg_id", msg, ":name", "order.created", ":task_id", "qtask_x", ":attempt_id", "atmpt_x")
	bodies := []string{"", "null", "[]", `"x"`, "{", "{}", `{"a":1}`, `{"a":1,"a":2}`, `{"name":{}}`, `{"uid":5,"url":[],"payload":"x","schemas":[],"eventTypes":[5]}`,
		`{"uid":"\u0000","url":"` + "\xff" + `"}`, strings.Repeat("[", 100_000), `{"since":"9999-12-31T23:59:59Z","until":"0000-01-01T00:00:00Z"}`,
		`{"application":{"uid":[]},"headers":{"a":{}},"metadata":{"a":5},"channels":[null],"tags":{}}`}
	queries := []string{"", "?limit=x", "?iterator=%00", "?iterator=-", "?before=9999999999", "?status=9&task=x&order=x", "?event_types=%ff&tag=%00&channel=%ff", "?a=b"}
	calls := 0
	for _, o := range operations {
		if o.Method == http.MethodDelete && !strings.Contains(o.Path, "/content") {
			continue
		}
		paths := []string{valid.Replace(o.Path), names.ReplaceAllString(o.Path, "x"), names.ReplaceAllString(o.Path, strings.Repeat("x", 300)), names.ReplaceAllString(o.Path, "%20"),
			names.ReplaceAllString(o.Path, "ep_msg_app_")}
		for _, path := range paths {
			for _, query := range queries {
				for _, body := range bodies {
					if query != "" && body != "{}" || o.Body == systems.NoBody && body != "" {
						continue
					}
					calls++
					w := admin.call(o.Method, "/svix"+path+query, body)
					require.True(t, w.Code < 500 || w.Code == http.StatusNotImplemented, "%s %s%s %.200s: %d %s", o.Method, path, query, body, w.Code, w.Body)
					if w.Code == http.StatusNoContent {
						require.Empty(t, w.Body.String())
						continue
					}
					require.True(t, json.Valid(w.Body.Bytes()), "%s %s: %s", o.Method, path, w.Body)
					if w.Code >= 400 {
						require.Contains(t, w.Body.String(), `"detail":`)
					}
				}
			}
		}
	}
	require.Greater(t, calls, 2000)
}
