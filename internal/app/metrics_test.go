package app

import (
	"encoding/json"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/posthorn/posthorn/internal/config"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/models/modelstest"
)

var update = flag.Bool("update", false, "write deploy/metrics.json")

const metricsFile = "../../deploy/metrics.json"

// exported is one metric in deploy/metrics.json, which the tests of dashboards and alerts read.
type exported struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"`
	Labels []string `json:"labels"`
}

// deploy/metrics.json lists what a process exports, and docs/operations.md explains every metric of Posthorn's own.
func TestMetrics_AreListedAndDocumented(t *testing.T) {
	t.Parallel()
	got := gatherAll(t)
	if *update {
		require.Equal(t, "linux", runtime.GOOS, "on other systems the process has fewer metrics")
		data, err := json.MarshalIndent(got, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(metricsFile, append(data, '\n'), 0o600))
	}
	data, err := os.ReadFile(metricsFile)
	require.NoError(t, err)
	var listed []exported
	require.NoError(t, json.Unmarshal(data, &listed))
	if runtime.GOOS != "linux" {
		foreign := func(m exported) bool { return !strings.HasPrefix(m.Name, "posthorn_") }
		got, listed = slices.DeleteFunc(got, foreign), slices.DeleteFunc(listed, foreign)
	}
	require.Equal(t, listed, got, "run: go test ./internal/app -run TestMetrics_AreListedAndDocumented -update")

	docs, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	for _, m := range got {
		if strings.HasPrefix(m.Name, "posthorn_") {
			require.Regexp(t, "`"+m.Name+"[`{]", string(docs), "docs/operations.md does not explain %s", m.Name)
		}
	}
	for _, name := range regexp.MustCompile(`posthorn_[a-z_]+`).FindAllString(string(docs), -1) {
		require.True(t, slices.ContainsFunc(got, func(m exported) bool {
			return name == m.Name || m.Type == "histogram" && strings.HasPrefix(name, m.Name)
		}), "docs/operations.md names %s, which is not exported", name)
	}
}

// gatherAll wires a process that is API and worker and returns all of its metrics. A metric with labels exists once it has
// a value, so each is given one.
func gatherAll(t *testing.T) []exported {
	t.Helper()
	url := modelstest.SQLite(t)
	keyset, err := secrets.NewKeyset()
	require.NoError(t, err)
	temporal, err := client.NewLazyClient(client.Options{})
	require.NoError(t, err)
	t.Cleanup(temporal.Close)
	a, err := New(t.Context(), Options{API: true, Worker: true, Temporal: temporal, Log: slog.New(slog.DiscardHandler), Config: config.Config{
		DatabaseURL: config.Secret(url), EncryptionKeyset: config.Secret(keyset), TaskQueue: "posthorn"}})
	require.NoError(t, err)
	t.Cleanup(a.Close)
	handler, err := a.handler()
	require.NoError(t, err)
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil))
	for i := range reflect.TypeFor[metrics.Metrics]().NumField() {
		switch vec := reflect.ValueOf(a.metrics).Elem().Field(i).Interface().(type) {
		case *prometheus.CounterVec:
			vec.WithLabelValues("x")
		case *prometheus.GaugeVec:
			vec.WithLabelValues("x")
		case *prometheus.HistogramVec:
			vec.WithLabelValues("x")
		}
	}
	families, err := a.registry.Gather()
	require.NoError(t, err)
	all := make([]exported, len(families))
	for i, family := range families {
		all[i] = exported{family.GetName(), strings.ToLower(family.GetType().String()), labels(family)}
	}
	requireAll(t, a.registry, all)
	return all
}

func labels(family *dto.MetricFamily) []string {
	names := []string{}
	for _, pair := range family.GetMetric()[0].GetLabel() {
		names = append(names, pair.GetName())
	}
	return names
}

// requireAll fails for a metric that is registered and was not gathered.
func requireAll(t *testing.T, registry *prometheus.Registry, all []exported) {
	t.Helper()
	described := make(chan *prometheus.Desc, 1000)
	registry.Describe(described)
	close(described)
	name := regexp.MustCompile(`fqName: "(posthorn_[^"]+)"`)
	for d := range described {
		if found := name.FindStringSubmatch(d.String()); found != nil {
			require.True(t, slices.ContainsFunc(all, func(m exported) bool { return m.Name == found[1] }), "%s was not gathered: give it a value", found[1])
		}
	}
}
