package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

func (a answer) totals() map[string]any {
	a.t.Helper()
	totals, _ := a.is(http.StatusOK).json()["totals"].(map[string]any)
	return totals
}

func (a answer) buckets() []any {
	a.t.Helper()
	buckets, _ := a.is(http.StatusOK).json()["buckets"].([]any)
	return buckets
}

func TestStats_CountWhatHappened(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(receiver.Close)
	w := e.call("POST /v1/tenants/acme/webhooks", fmt.Sprintf(`{"url":%q,"event_types":["order.created"]}`, receiver.URL)).is(http.StatusCreated).text("id")
	event := e.call("POST /v1/tenants/acme/events", `{"type":"order.created","data":{}}`).is(http.StatusAccepted).text("id")
	e.call("POST /v1/tenants/acme/events", `{"type":"order.paid","data":{}}`).is(http.StatusAccepted)
	e.call("POST /v1/tenants/acme/webhooks/"+w+"/test", `{}`).is(http.StatusOK)
	e.Clock.Advance(time.Minute)
	e.Attempt("acme", e.Deliveries("acme", event)[0].ID)
	d := e.Deliveries("acme", event)[0]
	took := d.FinishedAt.Sub(d.CreatedAt).Milliseconds()
	require.Greater(t, took, int64(60_000))

	check := func(route string, events, delivered float64) {
		t.Helper()
		totals := e.asAdmin(route, "").totals()
		require.InDelta(t, events, totals["events"], 0, "%s: %v", route, totals)
		require.InDelta(t, delivered, totals["delivered"], 0, "%s: %v", route, totals)
		require.InDelta(t, delivered, totals["attempts"], 0, "%s: %v", route, totals)
		if delivered == 0 {
			require.Nil(t, totals["p50_ms"])
			return
		}
		require.InEpsilon(t, took, totals["p50_ms"], 0.05)
		require.Equal(t, totals["p50_ms"], totals["p99_ms"])
	}
	for range 2 {
		check("GET /v1/tenants/acme/stats", 2, 1)
		check("GET /v1/tenants/acme/stats?bucket=minute&webhook_id="+w, 1, 1)
		check("GET /v1/tenants/acme/stats?webhook_id="+w+"&event_type=order.paid", 0, 0)
		check("GET /v1/tenants/acme/stats?webhook_id=wh_0198c0de-0000-7000-8000-000000000002", 0, 0)
		check("GET /v1/tenants/acme/stats?event_type=order.paid&bucket=day", 1, 0)
		check("GET /v1/stats", 2, 1)
		check("GET /v1/stats?tenant=acme", 2, 1)
		check("GET /v1/stats?tenant=nobody", 0, 0)
		check("GET /v1/stats?webhook_id="+w, 1, 1)
		_, _, err := e.Store.MergeStats(t.Context(), models.DeliveryKey{})
		require.NoError(t, err)
	}
	other := e.Tenant("globex")
	foreign := e.do(request{method: http.MethodGet, path: "/v1/tenants/globex/stats?webhook_id=" + w, key: other})
	require.InDelta(t, 0, foreign.totals()["events"], 0, "another tenant's webhook has none here")

	// The first bucket contains since, and the last one the time before until. An event counts at the time when it
	// happened.
	since, until := d.CreatedAt.UTC().Truncate(time.Second), d.FinishedAt.UTC().Truncate(time.Second).Add(time.Second)
	buckets := e.call(fmt.Sprintf("GET /v1/tenants/acme/stats?bucket=minute&event_type=order.created&since=%s&until=%s",
		since.Format(time.RFC3339), until.Format(time.RFC3339)), "").buckets()
	for i, b := range buckets {
		bucket, _ := b.(map[string]any)
		at := since.Truncate(time.Minute).Add(time.Duration(i) * time.Minute)
		require.Equal(t, at.Format("2006-01-02T15:04:05.000Z"), bucket["at"])
		require.Equal(t, at.Equal(d.CreatedAt.UTC().Truncate(time.Minute)), bucket["events"] == 1.0)
		require.Equal(t, at.Equal(d.FinishedAt.UTC().Truncate(time.Minute)), bucket["delivered"] == 1.0)
	}
	first, _ := buckets[0].(map[string]any)
	last, _ := buckets[len(buckets)-1].(map[string]any)
	require.InDelta(t, 1, first["events"], 0)
	require.InDelta(t, 1, last["delivered"], 0)
	n := len(e.call("GET /v1/tenants/acme/stats", "").buckets())
	require.True(t, n == 24 || n == 25, "a day by default, in hours")
}

func TestStats_AreBounded(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	now := e.Clock.Now().UTC().Truncate(24 * time.Hour)
	for _, tt := range []struct {
		bucket       string
		since, until time.Duration
		wrong        string
	}{
		{"minute", -25 * time.Hour, 0, ""},
		{"minute", -25*time.Hour - time.Minute, 0, "bucket"},
		{"minute", -25 * time.Hour, time.Second, "bucket"},
		{"hour", -28 * 24 * time.Hour, 0, ""},
		{"hour", -28*24*time.Hour - time.Second, 0, "since"},
		{"day", -28 * 24 * time.Hour, 0, ""},
		{"day", -29 * 24 * time.Hour, 0, "since"},
		{"day", 0, 0, "until"},
		{"day", time.Second, 0, "until"},
		{"minute", -7 * 24 * time.Hour, -7*24*time.Hour + time.Hour, ""},
		{"minute", -7*24*time.Hour - time.Minute, -7 * 24 * time.Hour, "since"},
		{"hour", -90 * 24 * time.Hour, -89 * 24 * time.Hour, ""},
		{"hour", -90*24*time.Hour - time.Hour, -89 * 24 * time.Hour, "since"},
		{"day", -400 * 24 * time.Hour, -399 * 24 * time.Hour, ""},
		{"day", -401 * 24 * time.Hour, -399 * 24 * time.Hour, "since"},
		{"week", -time.Hour, 0, "bucket"},
	} {
		q := url.Values{"bucket": {tt.bucket}, "since": {now.Add(tt.since).Format(time.RFC3339)}, "until": {now.Add(tt.until).Format(time.RFC3339)}}
		for _, path := range []string{"/v1/tenants/acme/stats?", "/v1/stats?"} {
			a := e.do(request{method: http.MethodGet, path: path + q.Encode(), key: servicetest.AdminKey})
			if tt.wrong == "" {
				a.is(http.StatusOK)
				continue
			}
			require.Equal(t, []string{tt.wrong}, a.is(http.StatusUnprocessableEntity).fields(), "%+v", tt)
		}
	}
}
