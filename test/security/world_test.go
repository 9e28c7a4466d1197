// Package security_test checks the promises about all operations of all APIs against the mounted routes: the roles of
// each operation, that no tenant reaches another, and that every change is logged. It also checks docs/security.md
// against them.
package security_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/api/systems/mounted"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// receives takes every POST.
type receives struct{}

func (receives) Post(context.Context, sender.Request) sender.Result {
	return sender.Result{StartedAt: time.Now(), StatusCode: http.StatusOK, Outcome: sender.Received}
}

// world is a whole installation behind all its APIs.
type world struct {
	*servicetest.Env
	t       *testing.T
	handler http.Handler
	routes  []string
	tenants int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Env: servicetest.New(t, servicetest.WithPoster(receives{})), t: t}
	var inner []gin.RouteInfo
	var names []string
	o := api.Options{Service: w.Service, Store: w.Store, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}
	for _, mount := range mounted.All() {
		o.Systems = append(o.Systems, func(r gin.IRouter) {
			mount(r, systems.Options{Service: w.Service, Mounted: func(a *systems.API) {
				inner, names = append(inner, a.Routes()...), append(names, "/"+a.System)
			}})
		})
	}
	handler, err := api.New(o)
	require.NoError(t, err)
	w.handler = handler
	router, ok := handler.(interface{ Routes() gin.RoutesInfo })
	require.True(t, ok, "the handler does not tell its routes")
	for _, r := range append(router.Routes(), inner...) {
		ofSystem := slices.ContainsFunc(names, func(name string) bool { return r.Path == name || r.Path == name+"/*path" })
		if ofSystem || r.Method == http.MethodHead || r.Method == http.MethodOptions { // its own routes are among inner; a HEAD is a GET
			continue
		}
		w.routes = append(w.routes, r.Method+" "+strings.TrimSuffix(r.Path, "/"))
	}
	slices.Sort(w.routes)
	w.routes = slices.Compact(w.routes)
	w.EventTypes("thing.done")
	return w
}

// things are what a tenant has, by their ids.
type things struct {
	slug, key string
	token     string // of its portal link
	keys      map[models.Role]string
	ids       map[string]string // webhook, event, delivery, recovery, erasure, key, link, call, name
}

// tenant makes a tenant with nothing but keys.
func (w *world) tenant(roles ...models.Role) *things {
	w.t.Helper()
	w.tenants++
	slug := fmt.Sprintf("tenant-%d", w.tenants)
	x := &things{slug: slug, key: w.Tenant(slug), keys: map[models.Role]string{}, ids: map[string]string{"name": "thing." + slug}}
	for _, role := range roles {
		x.keys[role] = w.Key(slug, role)
	}
	return x
}

// system returns the system of a route; "" = /v1.
func (o operation) system() string {
	_, path, _ := strings.Cut(o.route, " ")
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if _, ok := made[first]; ok {
		return first
	}
	return ""
}

// furnish creates one of everything for the tenant. The webhook is made through the API of the operation.
func (w *world) furnish(x *things, o operation) {
	w.t.Helper()
	ctx := w.t.Context()
	eventType, profile := "thing.done", "standard"
	if system := o.system(); system == "" {
		w.Webhook(x.slug, "https://receiver.example/hook?token=t0ken")
	} else {
		create := made[system]
		answer := w.do(create, x, x.key)
		require.Less(w.t, answer.Code, 300, "%s: %s", create.route, answer.Body)
		profile = system
		if system == "phrase" {
			eventType = "JOB_CREATED"
		}
	}
	webhooks, _, err := w.Service.Webhooks(ctx, x.slug, models.WebhookFilter{Profile: profile}, models.Page{Limit: 1})
	require.NoError(w.t, err)
	require.Len(w.t, webhooks, 1)
	x.ids["webhook"] = webhooks[0].ID
	keys, err := w.Store.APIKeys(ctx, x.slug)
	require.NoError(w.t, err)
	x.ids["key"] = keys[len(keys)-1].ID
	link, err := w.Service.CreatePortalLink(ctx, service.Principal{Role: models.RoleAdmin}, x.slug, service.LinkRequest{Role: models.RoleRead})
	require.NoError(w.t, err)
	x.ids["link"], x.token = link.ID, link.Token
	x.ids["event"] = w.Publish(x.slug, eventType, `{"jobParts":[]}`)
	deliveries := w.Deliveries(x.slug, x.ids["event"])
	if len(deliveries) == 0 { // the system's webhook does not want it
		return
	}
	x.ids["delivery"] = deliveries[0].ID
	if o.system() != "" {
		x.ids["call"] = w.Attempt(x.slug, deliveries[0].ID).ID
	}
	recovery, err := w.Service.Recover(ctx, x.slug, x.ids["webhook"], service.RecoveryRequest{})
	require.NoError(w.t, err)
	x.ids["recovery"] = recovery.ID
	erasure, err := w.Service.Erase(ctx, x.slug, service.ErasureRequest{Attribute: "customer:nobody"})
	require.NoError(w.t, err)
	x.ids["erasure"] = erasure.ID
}

// ghosts are well-formed ids of things that do not exist.
func (w *world) ghosts(slug string) *things {
	return &things{slug: slug, ids: map[string]string{"webhook": models.NewID(models.PrefixWebhook), "event": models.NewID(models.PrefixEvent),
		"delivery": models.NewID(models.PrefixDelivery), "recovery": models.NewID(models.PrefixRecovery), "erasure": models.NewID(models.PrefixErasure), "key": models.NewID(models.PrefixKey), "link": models.NewID(models.PrefixLink),
		"call": models.NewID(models.PrefixAttempt), "name": "thing.none"}}
}

// kinds are the kinds of things that a parameter is an id of, by the path segment before it.
var kinds = map[string]string{"webhooks": "webhook", "events": "event", "deliveries": "delivery", "recoveries": "recovery", "erasures": "erasure", "keys": "key", "portal-links": "link"}

// target fills in a route: the tenant by its slug, everything else of a tenant by the things' ids. A parameter that it does not
// know fails the test.
func (w *world) target(o operation, slug string, x *things) (method, target string) {
	w.t.Helper()
	method, path, _ := strings.Cut(o.route, " ")
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		name, ok := strings.CutPrefix(segment, ":")
		if !ok {
			continue
		}
		switch name {
		case "tenant", "workspace", "app_id":
			segments[i] = slug
		case "endpoint_id":
			segments[i] = "ep_" + bare(x.ids["webhook"])
		case "msg_id":
			segments[i] = wire.MessageID(x.ids["event"])
		case "task_id":
			segments[i] = "qtask_" + strings.TrimPrefix(x.ids["recovery"], models.PrefixRecovery)
		case "attempt_id":
			segments[i] = "atmpt_" + strings.TrimPrefix(x.ids["call"], models.PrefixAttempt)
		case "system":
			segments[i] = "up42"
		case "name":
			segments[i] = x.ids["name"]
		case "id", "uid", "uuid":
			kind := kinds[segments[i-1]]
			require.NotEmpty(w.t, kind, "%s: it is not known what %s is an id of", o.route, segment)
			if segments[i] = x.ids[kind]; o.system() != "" {
				segments[i] = bare(x.ids[kind])
			}
		default:
			require.Fail(w.t, "a parameter that this test cannot fill in", "%s: %s", o.route, segment)
		}
	}
	target = strings.Join(segments, "/")
	if o.query != "" {
		target += "?" + x.fill(o.query)
	}
	return method, target
}

func bare(id string) string { return strings.TrimPrefix(id, models.PrefixWebhook) }

// fill puts ids in the places of their names.
func (x *things) fill(text string) string {
	pairs := []string{"{uuid}", bare(x.ids["webhook"])}
	for kind, id := range x.ids {
		pairs = append(pairs, "{"+kind+"}", id)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// do makes a call about a tenant's own things.
func (w *world) do(o operation, x *things, key string) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.reach(o, x.slug, x, key)
}

// reach makes a call whose path names the tenant called slug, about the things.
func (w *world) reach(o operation, slug string, x *things, key string) *httptest.ResponseRecorder {
	w.t.Helper()
	method, target := w.target(o, slug, x)
	r := httptest.NewRequestWithContext(w.t.Context(), method, target, strings.NewReader(x.fill(o.body)))
	r.RemoteAddr = "192.0.2.7:4711"
	if o.form {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else if o.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	switch {
	case key == "":
	case o.system() == "languageweaver":
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(key+":")))
	default:
		r.Header.Set("Authorization", "Bearer "+key)
	}
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	return answer
}

// The states that some operations need.

func (w *world) ownType(x *things) { w.EventTypes(x.ids["name"]) }

// operational makes a webhook of the operational tenant the one that a path names.
func (w *world) operational(x *things) {
	tenant, err := w.Service.MakeOperationalTenant(w.t.Context())
	require.NoError(w.t, err)
	made, _, err := w.Service.CreateWebhook(w.t.Context(), tenant, service.WebhookChange{URL: new("https://receiver.example/operational"),
		EventTypes: &[]string{"webhook.*"}, Profile: "svix"})
	require.NoError(w.t, err)
	x.ids["webhook"] = made.ID
}

func (w *world) disabled(x *things) {
	_, err := w.Service.Disable(w.t.Context(), x.slug, x.ids["webhook"], "", "test")
	require.NoError(w.t, err)
}

func (w *world) paused(x *things) {
	_, err := w.Service.Pause(w.t.Context(), x.slug, x.ids["webhook"], "test")
	require.NoError(w.t, err)
}

func (w *world) received(x *things) { w.Attempt(x.slug, x.ids["delivery"]) }

func (w *world) aside(x *things) {
	_, err := w.Service.PauseDelivery(w.t.Context(), x.slug, x.ids["delivery"])
	require.NoError(w.t, err)
}

// TestRoutes_EveryRouteIsKnown: a route that is added is in the table of operations, or this fails.
func TestRoutes_EveryRouteIsKnown(t *testing.T) {
	t.Parallel()
	var known []string
	for _, o := range operations {
		known = append(known, o.route)
		if method, _, _ := strings.Cut(o.route, " "); method != http.MethodGet {
			require.NotEmpty(t, o.audit, "%s: what does it write into the audit log?", o.route)
		}
	}
	slices.Sort(known)
	require.Equal(t, newWorld(t).routes, known)
	require.ElementsMatch(t, mounted.Names(), slices.Collect(maps.Keys(made)), "how is a webhook made through each system?")
}
