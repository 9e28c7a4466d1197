package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// posthorn is a stand-in with Posthorn's API that delivers what it accepts, once, and again after a failure.
type posthorn struct {
	t      *testing.T
	server *httptest.Server
	client *http.Client
	wg     sync.WaitGroup

	// How it misbehaves.
	lose, twice, refuse, lie bool
	slow                     bool // delivers to the slow receiver, too

	mu       sync.Mutex
	calls    int
	tenants  map[string]bool
	types    map[string]bool
	webhooks map[string]*fakeWebhook
}

type fakeWebhook struct {
	tenant, url, eventType string
	status                 map[string]int
	paused                 bool
}

func newPosthorn(t *testing.T) *posthorn {
	t.Helper()
	p := &posthorn{t: t, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		tenants: map[string]bool{}, types: map[string]bool{}, webhooks: map[string]*fakeWebhook{}}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/event-types/{name}", func(_ http.ResponseWriter, r *http.Request) { p.set(p.types, r.PathValue("name")) })
	mux.HandleFunc("DELETE /v1/event-types/{name}", func(w http.ResponseWriter, r *http.Request) { p.remove(w, p.types, r.PathValue("name")) })
	mux.HandleFunc("PUT /v1/tenants/{tenant}", func(_ http.ResponseWriter, r *http.Request) { p.set(p.tenants, r.PathValue("tenant")) })
	mux.HandleFunc("DELETE /v1/tenants/{tenant}", func(w http.ResponseWriter, r *http.Request) { p.remove(w, p.tenants, r.PathValue("tenant")) })
	mux.HandleFunc("POST /v1/tenants/{tenant}/webhooks", p.createWebhook)
	mux.HandleFunc("POST /v1/tenants/{tenant}/webhooks/{id}/pause", p.pause)
	mux.HandleFunc("POST /v1/tenants/{tenant}/events", p.publish)
	mux.HandleFunc("POST /v1/tenants/{tenant}/events/batch", p.publish)
	mux.HandleFunc("GET /v1/tenants/{tenant}/deliveries", p.deliveries)
	nothing := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"data":[],"next":null}`) }
	mux.HandleFunc("GET /v1/tenants/{tenant}/events", nothing)
	mux.HandleFunc("GET /v1/tenants/{tenant}/webhooks", nothing)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, exposition) })
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" && r.Header.Get("Authorization") != "Bearer key" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		p.wg.Wait()
		p.client.CloseIdleConnections()
		p.server.Close()
	})
	return p
}

func (p *posthorn) set(in map[string]bool, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	in[name] = true
}

func (p *posthorn) remove(w http.ResponseWriter, from map[string]bool, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !from[name] {
		w.WriteHeader(http.StatusNotFound)
	}
	delete(from, name)
}

func (p *posthorn) createWebhook(w http.ResponseWriter, r *http.Request) {
	var in struct {
		URL        string   `json:"url"`
		EventTypes []string `json:"event_types"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id := fmt.Sprintf("wh_%d", len(p.webhooks))
	p.webhooks[id] = &fakeWebhook{r.PathValue("tenant"), in.URL, in.EventTypes[0], map[string]int{}, false}
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, `{"id":%q}`, id)
}

func (p *posthorn) pause(_ http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.webhooks[r.PathValue("id")]
	h.paused = true
	h.status["held"] += h.status["pending"]
	h.status["pending"] = 0
}

type fakeEvent struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

func (p *posthorn) publish(w http.ResponseWriter, r *http.Request) {
	var in struct {
		fakeEvent
		Events []fakeEvent `json:"events"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if in.Events == nil {
		in.Events = []fakeEvent{in.fakeEvent}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls++; p.refuse && p.calls%2 == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for _, e := range in.Events {
		for _, h := range p.webhooks {
			if h.tenant == r.PathValue("tenant") && h.eventType == e.Type {
				p.owe(h, e)
			}
		}
	}
	w.WriteHeader(http.StatusAccepted)
}

// owe makes a delivery. A delivery to the slow receiver stays pending, unless p delivers it.
func (p *posthorn) owe(h *fakeWebhook, e fakeEvent) {
	switch {
	case h.paused:
		h.status["held"]++
		return
	case strings.HasSuffix(e.Type, ".slow") && !p.slow:
		h.status["pending"]++
		return
	case p.lose && p.calls == 10:
		return
	case p.lie:
		h.status["delivered"]++
		if p.calls == 10 {
			return
		}
	default:
		h.status["pending"]++
	}
	body := fmt.Appendf(nil, `{"type":%q,"timestamp":"2026-01-02T03:04:05.678Z","data":%s}`, e.Type, e.Data)
	p.wg.Go(func() {
		for range 2 {
			for !p.post(h.url, body) {
			}
			if !p.twice {
				break
			}
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.lie {
			return
		}
		from := "pending"
		if h.paused { // while it was on its way
			from = "held"
		}
		h.status[from]--
		h.status["delivered"]++
	})
}

func (p *posthorn) post(url string, body []byte) bool {
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return true
	}
	request.Header["webhook-id"] = []string{"evt_1"}
	response, err := p.client.Do(request)
	if err != nil {
		return p.t.Context().Err() != nil // a connection may fail on a busy machine: it is sent again until the test ends
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusNoContent
}

func (p *posthorn) deliveries(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	after, _ := strconv.Atoi(q.Get("after"))
	n := 0
	p.mu.Lock()
	if h := p.webhooks[q.Get("webhook_id")]; h != nil {
		n = h.status[q.Get("status")]
	}
	p.mu.Unlock()
	next := "null"
	if after+limit < n {
		next = strconv.Quote(strconv.Itoa(after + limit))
	}
	data := strings.TrimSuffix(strings.Repeat("{},", min(limit, max(0, n-after))), ",")
	_, _ = fmt.Fprintf(w, `{"data":[%s],"next":%s}`, data, next)
}

func (p *posthorn) options(scenario string) Options {
	return Options{URL: p.server.URL, AdminKey: "key", Scenarios: []string{scenario}, Duration: 100 * time.Millisecond, WarmUp: 20 * time.Millisecond,
		Patience: 30 * time.Second, Callers: 4, Rate: 200, Tenants: 1, Receiver: "127.0.0.1:0", Payload: 64, Backlog: 500, Slow: 10 * time.Millisecond, FailShare: .5, MetricsURLs: []string{p.server.URL + "/metrics"}}
}

func TestBenchRun_EveryScenarioMeasuresAndClearsAway(t *testing.T) {
	t.Parallel()
	for _, name := range Scenarios() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPosthorn(t)
			report, err := Run(t.Context(), p.options(name))
			require.NoError(t, err)
			require.True(t, report.Complete())
			require.Len(t, report.Results, 1)
			r := report.Results[0]
			require.Equal(t, name, r.Scenario)
			require.True(t, r.Drained)
			require.Positive(t, r.Accepted)
			require.Equal(t, r.Accepted*int64(scenarios[name].fanout), r.Deliveries)
			require.EqualValues(t, r.Deliveries, r.EndToEnd.Count)
			require.Positive(t, r.EndToEnd.P50)
			require.Positive(t, r.Call.P50)
			require.Positive(t, r.DeliveriesPerSecond)
			require.GreaterOrEqual(t, r.Count.Expected, r.Deliveries, "the warm-up's are counted too")
			require.Equal(t, r.Count.Expected, r.Count.Delivered+r.Count.Held)
			require.Zero(t, r.Count.Duplicates)
			require.Zero(t, r.Count.Strange)
			require.NotNil(t, r.Workflows)
			require.Positive(t, r.List.Count)
			switch name {
			case "failing":
				require.Positive(t, r.Count.Refusals)
			case "noisy":
				require.EqualValues(t, 500, r.Waiting)
				require.EqualValues(t, 500, r.Count.Held, "what was on its way is paused")
			case "limits":
				require.InDelta(t, limitRate, r.Limits.RateLimit, 0)
				require.Positive(t, r.Limits.Rate)
				require.Equal(t, limitInFlight, r.Limits.MaxInFlight)
				require.Positive(t, r.Limits.InFlight)
			}
			require.Empty(t, p.tenants)
			require.Empty(t, p.types)
		})
	}
}

func TestBenchRun_WhatIsDeliveredOfABacklogIsAdded(t *testing.T) {
	t.Parallel()
	p := newPosthorn(t)
	p.slow = true
	o := p.options("noisy")
	o.Duration, o.Patience = time.Second, 2*time.Minute // to be seen between two fillings, also on a busy machine
	report, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.True(t, report.Complete())
	r := report.Results[0]
	require.Less(t, r.Waiting, int64(o.Backlog), "it is delivered")
	require.Greater(t, r.Count.Expected-r.Accepted, int64(o.Backlog), "and filled up")
}

func TestBenchRun_TenantsShareTheLoad(t *testing.T) {
	t.Parallel()
	p := newPosthorn(t)
	o := p.options("fanout")
	o.Tenants, o.Idle = 3, 2
	report, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.True(t, report.Complete())
	require.Len(t, p.webhooks, 3*(wide+2))
	for _, h := range p.webhooks {
		if strings.HasSuffix(h.eventType, ".idle") {
			require.Empty(t, h.status)
		} else {
			require.Positive(t, h.status["delivered"], h.tenant)
		}
	}
}

func TestBenchRun_WhatIsStoredBeforehandIsHeld(t *testing.T) {
	t.Parallel()
	p := newPosthorn(t)
	o := p.options("latency")
	o.Stored, o.Keep = 2000, true
	report, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.True(t, report.Complete())
	require.Len(t, p.tenants, 1, "kept")
	held := 0
	for _, h := range p.webhooks {
		if strings.HasSuffix(h.eventType, ".stored") {
			held += h.status["held"]
		}
	}
	require.Equal(t, 2000, held)
}

func TestBenchRun_RefusalsAreWaitedOut(t *testing.T) {
	t.Parallel()
	p := newPosthorn(t)
	p.refuse = true
	report, err := Run(t.Context(), p.options("saturate"))
	require.NoError(t, err)
	require.True(t, report.Complete())
	require.Positive(t, report.Results[0].Refused)
}

func TestBenchRun_MisbehaviourIsFound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault func(*posthorn)
		check func(*testing.T, Result)
	}{
		{"delivers twice", func(p *posthorn) { p.twice = true }, func(t *testing.T, r Result) {
			t.Helper()
			require.True(t, r.Count.Complete, "at least once is what is promised")
			require.Equal(t, r.Count.Received, r.Count.Duplicates)
		}},
		{"loses one", func(p *posthorn) { p.lose = true }, func(t *testing.T, r Result) {
			t.Helper()
			require.False(t, r.Count.Complete)
			require.False(t, r.Drained)
			require.Equal(t, r.Count.Expected-1, r.Count.Delivered)
		}},
		{"calls delivered what it did not deliver", func(p *posthorn) { p.lie = true }, func(t *testing.T, r Result) {
			t.Helper()
			require.False(t, r.Count.Complete)
			require.Equal(t, r.Count.Expected, r.Count.Delivered)
			require.Equal(t, r.Count.Expected-1, r.Count.Received)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPosthorn(t)
			tt.fault(p)
			o := p.options("latency")
			o.WarmUp = time.Nanosecond // none, so that the tenth call is measured
			o.Patience = 500 * time.Millisecond
			report, err := Run(t.Context(), o)
			require.NoError(t, err)
			tt.check(t, report.Results[0])
		})
	}
}

func TestBenchRun_GivesUp(t *testing.T) {
	t.Parallel()
	p := newPosthorn(t)
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"wrong key", func(o *Options) { o.AdminKey = "wrong" }, "401"},
		{"nobody there", func(o *Options) { o.URL = "http://127.0.0.1:1" }, "refused"},
		{"no URL", func(o *Options) { o.URL = "ftp://x" }, "not an http URL"},
		{"no such scenario", func(o *Options) { o.Scenarios = []string{"chaos"} }, `no scenario "chaos"`},
		{"too long", func(o *Options) { o.Duration = time.Hour }, "at most 30m"},
		{"no backlog", func(o *Options) { o.Backlog = 0 }, "backlog"},
		{"not whole thousands", func(o *Options) { o.Stored = 1500 }, "thousands"},
		{"not a receiver", func(o *Options) { o.Receiver = "0.0.0.0:0" }, "not a loopback address"},
		{"no database", func(o *Options) { o.DatabaseURL = "postgres://127.0.0.1:1/x" }, "database"},
		{"no process", func(o *Options) { o.Processes = []Process{{"gone", 1 << 30}} }, "does not run"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := p.options("latency")
			tt.change(&o)
			_, err := Run(t.Context(), o)
			require.ErrorContains(t, err, tt.want)
		})
	}
}
