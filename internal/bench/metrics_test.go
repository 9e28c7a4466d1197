package bench

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

const exposition = `# HELP posthorn_workflow_starts_total x
# TYPE posthorn_workflow_starts_total counter
posthorn_workflow_starts_total{result="started"} 30
posthorn_workflow_starts_total{result="failed"} 5
# TYPE posthorn_reconciler_catches_total counter
posthorn_reconciler_catches_total 2
# TYPE posthorn_dispatch_deliveries histogram
posthorn_dispatch_deliveries_bucket{le="1"} 10
posthorn_dispatch_deliveries_bucket{le="2"} 10
posthorn_dispatch_deliveries_bucket{le="64"} 25
posthorn_dispatch_deliveries_bucket{le="256"} 29
posthorn_dispatch_deliveries_bucket{le="+Inf"} 30
posthorn_dispatch_deliveries_sum 1500
posthorn_dispatch_deliveries_count 30
`

func TestBenchMetrics_ScrapeAddsProcessesUp(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			_, _ = io.WriteString(w, exposition)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	one, err := scrape(t.Context(), []string{server.URL + "/metrics"})
	require.NoError(t, err)
	both, err := scrape(t.Context(), []string{server.URL + "/metrics", server.URL + "/metrics"})
	require.NoError(t, err)

	require.Equal(t, &Workflows{Starts: 30, StartsPerEvent: .5, MeanSize: 50, Catches: 2,
		Sizes: []SizeBucket{{1, 10}, {64, 15}, {256, 4}}}, both.since(one, 60))
	require.Equal(t, &Workflows{}, one.since(one, 0))

	_, err = scrape(t.Context(), []string{server.URL})
	require.ErrorContains(t, err, "404")
}
