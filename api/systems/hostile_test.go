package systems_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/internal/slots"
	"github.com/posthorn/posthorn/models"
)

// siege is an installation in which the tenant hostile takes everything that one key can take, beside the tenant
// neighbour.
type siege struct {
	*servicetest.Env
	t       *testing.T
	handler http.Handler
	posts   *slots.Slots
	keys    map[string]string

	mu      sync.Mutex
	posted  []string // hosts, in the order in which their POSTs began
	silence chan struct{}
}

// Post implements service.Poster: hosts that are silent answer when the siege ends.
func (s *siege) Post(ctx context.Context, r sender.Request) sender.Result {
	host := sender.Host(r.URL)
	s.mu.Lock()
	s.posted = append(s.posted, host)
	s.mu.Unlock()
	if strings.HasPrefix(host, "silent") {
		select {
		case <-s.silence:
		case <-ctx.Done():
		}
	}
	return sender.Result{Outcome: sender.Received, StatusCode: http.StatusOK}
}

func newSiege(t *testing.T) *siege {
	t.Helper()
	s := &siege{t: t, silence: make(chan struct{}), keys: map[string]string{"admin": servicetest.AdminKey}}
	s.posts = slots.New(slots.Options{Capacity: 16, Reserve: 0.25, MaxPerTenant: 0.5, MaxPerHost: 0.25}) // as a process has them
	s.Env = servicetest.New(t, servicetest.WithPoster(s), func(_ *sender.Config, o *service.Options) { o.Posts = s.posts })
	o := api.Options{Service: s.Service, Store: s.Store, BodyRoom: 96 << 10}
	for _, system := range catalogued {
		o.Systems = append(o.Systems, func(r gin.IRouter) { system.api(systems.Options{Service: s.Service}).Mount(r) })
	}
	handler, err := api.New(o)
	require.NoError(t, err)
	s.handler = handler
	for _, tenant := range []string{"hostile", "neighbour"} {
		s.keys[tenant] = s.Tenant(tenant)
	}
	s.EventTypes("order.created", "order.paid")
	return s
}

// call makes a call of a tenant: to /v1, below the tenant's path, or to a system, whose prefix the path begins with.
func (s *siege) call(tenant, method, path string, body io.Reader) *httptest.ResponseRecorder {
	as := "Bearer " + s.keys[tenant]
	switch {
	case strings.HasPrefix(path, "/languageweaver"):
		as = "Basic " + base64.StdEncoding.EncodeToString([]byte(s.keys[tenant]+":"))
	case strings.HasPrefix(path, "/v1:"):
		path = "/v1/tenants/" + tenant + strings.TrimPrefix(path, "/v1:")
	}
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, body)
	r.Header.Set("Authorization", as)
	if strings.HasPrefix(path, "/languageweaver") {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// crowd makes simultaneous calls of the hostile tenant. counts returns how many have been answered with each status so
// far.
func (s *siege) crowd(n int, call func(i int) *httptest.ResponseRecorder) (counts func() map[int]int) {
	var mu sync.Mutex
	answers := map[int]int{}
	for i := range n {
		go func() {
			w := call(i)
			mu.Lock()
			defer mu.Unlock()
			answers[w.Code]++
		}()
	}
	return func() map[int]int {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(answers)
	}
}

// live makes the neighbour's everyday calls. Each call is served at once, in a bubble's time.
func (s *siege) live() {
	s.t.Helper()
	event := func() io.Reader {
		return strings.NewReader(`{"type":"order.created","data":"` + strings.Repeat("x", 1000) + `"}`)
	}
	for range 3 {
		for _, c := range []struct {
			method, path string
			body         io.Reader
			status       int
		}{
			{http.MethodPost, "/v1:/events", event(), http.StatusAccepted},
			{http.MethodPost, "/v1:/events/batch", strings.NewReader(`{"events":[{"type":"order.paid","data":{}}]}`), http.StatusAccepted},
			{http.MethodPost, "/v1:/events/match", event(), http.StatusOK},
			{http.MethodGet, "/v1:/webhooks", nil, http.StatusOK},
			{http.MethodGet, "/v1:/deliveries", nil, http.StatusOK},
			{http.MethodGet, "/im4/webhooks", nil, http.StatusOK},
			{http.MethodPost, "/v1:/webhooks", strings.NewReader(`{"url":"https://neighbour.example/"}`), http.StatusCreated},
			{http.MethodPost, "/v1:/keys", strings.NewReader(`{"role":"publish"}`), http.StatusCreated},
			{http.MethodPut, "/languageweaver/api/v2/webhooks/test", strings.NewReader("url=https://neighbour.example/"), http.StatusOK},
			{http.MethodGet, "/readyz", nil, http.StatusOK},
		} {
			w := s.call("neighbour", c.method, c.path, c.body)
			require.Equal(s.t, c.status, w.Code, "%s %s: %s", c.method, c.path, w.Body)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(s.t, []string{"neighbour.example"}, slices.Compact(slices.Clone(s.posted[len(s.posted)-3:])), "its POSTs went out")
}

// hook registers a webhook of the hostile tenant at a separate host that never answers.
func (s *siege) hook(i int) (id string) {
	s.t.Helper()
	url := fmt.Sprintf("https://silent%d.example/", i)
	w, _, err := s.Service.CreateWebhook(s.t.Context(), "hostile", service.WebhookChange{URL: &url})
	require.NoError(s.t, err)
	return w.ID
}

// One tenant with one key takes as much as it can of every shared resource. Its neighbour is served at once, and the
// process is ready.
func TestSystemHostile_OneTenantLeavesItsNeighbourAlone(t *testing.T) {
	t.Parallel()
	for name, attack := range map[string]func(*siege){
		"bodies":            (*siege).bodies,
		"POSTs":             (*siege).takePosts,
		"tests":             (*siege).tests,
		"webhooks and keys": (*siege).things,
		"lists and match":   (*siege).requests,
		"all of it":         (*siege).everything,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSiege(t)
				defer close(s.silence)
				attack(s)
				s.live()
			})
		})
	}
}

// bodies are sent and not finished.
func (s *siege) bodies() {
	for _, path := range []string{"/v1:/events", "/v1:/events/batch", "/v1:/webhooks", "/im4/webhooks", "/languageweaver/api/v2/webhooks"} {
		s.crowd(40, func(int) *httptest.ResponseRecorder {
			body, sender := io.Pipe()
			go func() {
				_, _ = sender.Write([]byte(`{"data":"` + strings.Repeat("x", 60<<10)))
				<-s.silence
				_ = sender.CloseWithError(io.ErrUnexpectedEOF)
			}()
			w := s.call("hostile", http.MethodPost, path, body)
			_ = body.Close()
			return w
		})
	}
	synctest.Wait()
}

// takePosts fills the slots for POSTs as far as they are for one tenant, and waits for more.
func (s *siege) takePosts() {
	for i := range 100 {
		go func() {
			release, err := s.posts.Acquire(s.t.Context(), "hostile", fmt.Sprintf("silent%d.example", i))
			if err == nil {
				<-s.silence
				release()
			}
		}()
	}
	synctest.Wait()
	u := s.posts.Usage()
	require.Equal(s.t, slots.Usage{Capacity: 16, Used: 12, Waiting: 88}, u)
}

// tests are called again and again, through every API that has such a call.
func (s *siege) tests() {
	const webhooks = 10
	ids := make([]string, webhooks)
	for i := range ids {
		ids[i] = s.hook(i)
	}
	for path, body := range map[string]string{"/im4/webhooks": `{"webhook_url":"https://silent.example/im4"}`,
		"/phrase/web/api2/v2/webhooks":      `{"url":"https://silent.example/phrase","events":["JOB_CREATED"]}`,
		"/up42/workspaces/hostile/webhooks": `{"url":"https://silent.example/up42","name":"n","events":["order.status"],"active":true}`} {
		w := s.call("hostile", http.MethodPost, path, strings.NewReader(body))
		require.Less(s.t, w.Code, 300, w.Body)
	}
	bare := func(profile string) string {
		all, err := s.Service.SystemWebhooks(s.t.Context(), "hostile", profile)
		require.NoError(s.t, err)
		return strings.TrimPrefix(all[0].ID, "wh_")
	}
	phrase, up42 := bare("phrase"), bare("up42")
	counts := s.crowd(60, func(i int) *httptest.ResponseRecorder {
		return s.call("hostile", http.MethodPost, "/v1:/webhooks/"+ids[i%webhooks]+"/test", nil)
	})
	require.Equal(s.t, map[int]int{http.StatusTooManyRequests: 52}, counts(), "the others wait for their receivers")
	for _, c := range []struct{ method, path, body string }{
		{http.MethodPost, "/v1:/webhooks/" + ids[0] + "/test", ""},
		{http.MethodPost, "/im4/webhooks/test", ""},
		{http.MethodPost, "/phrase/web/api2/v2/webhooks/" + phrase + "/test?event=JOB_CREATED", ""},
		{http.MethodPut, "/languageweaver/api/v2/webhooks/test", "url=https://silent.example/"},
		{http.MethodPost, "/up42/workspaces/hostile/webhooks/" + up42 + "/tests", ""},
	} {
		w := s.call("hostile", c.method, c.path, strings.NewReader(c.body))
		require.Equal(s.t, http.StatusTooManyRequests, w.Code, "%s: %s", c.path, w.Body)
		require.Equal(s.t, "1", w.Header().Get("Retry-After"), c.path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	require.LessOrEqual(s.t, len(s.posted), 12, "of the slots a quarter is kept")
}

// things are made up to the tenant's limits, through every API.
func (s *siege) things() {
	w := s.call("admin", http.MethodPatch, "/v1/tenants/hostile", strings.NewReader(`{"limits":{"webhooks":4,"keys":3}}`))
	require.Equal(s.t, http.StatusOK, w.Code, w.Body)
	keys := s.crowd(20, func(int) *httptest.ResponseRecorder {
		return s.call("hostile", http.MethodPost, "/v1:/keys", strings.NewReader(`{"role":"tenant"}`))
	})
	require.Equal(s.t, map[int]int{http.StatusCreated: 2, http.StatusConflict: 18}, keys(), "it had one")
	webhooks := s.crowd(20, func(int) *httptest.ResponseRecorder {
		return s.call("hostile", http.MethodPost, "/v1:/webhooks", strings.NewReader(`{"url":"https://silent.example/"}`))
	})
	require.Equal(s.t, map[int]int{http.StatusCreated: 4, http.StatusConflict: 16}, webhooks())
	for _, system := range catalogued {
		w := s.call("hostile", http.MethodPost, strings.Replace(system.create, "TENANT", "hostile", 1), strings.NewReader(system.body))
		require.Equal(s.t, http.StatusConflict, w.Code, "%s: %s", system.name, w.Body)
		require.Contains(s.t, w.Body.String(), "the limit of 4 webhooks is reached", system.name)
	}
	all, _, err := s.Service.Webhooks(s.t.Context(), "hostile", models.WebhookFilter{}, models.Page{Limit: 100})
	require.NoError(s.t, err)
	require.Len(s.t, all, 4)
}

// requests are under way, as many as there may be, and more wait.
func (s *siege) requests() {
	for range 500 {
		go func() {
			if _, leave, err := s.Service.Enter(s.t.Context(), "hostile"); err == nil {
				<-s.silence
				leave()
			}
		}()
	}
	synctest.Wait()
	for _, path := range []string{"/v1:/deliveries", "/v1:/events", "/v1:/keys", "/phrase/web/api2/v1/webhooksCalls"} {
		counts := s.crowd(20, func(int) *httptest.ResponseRecorder { return s.call("hostile", http.MethodGet, path, nil) })
		require.Empty(s.t, counts(), "they wait")
	}
	counts := s.crowd(20, func(int) *httptest.ResponseRecorder {
		return s.call("hostile", http.MethodPost, "/v1:/events/match", strings.NewReader(`{"type":"order.paid","data":{}}`))
	})
	require.Empty(s.t, counts(), "they wait")
}

func (s *siege) everything() {
	s.things()
	s.bodies()
	s.takePosts()
	s.requests()
}
