package api_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/internal/servicetest"
)

// Requests have spans if the process has a tracer, and probes never have.
func TestTraced_RequestsHaveSpansIfThereIsATracer(t *testing.T) { //nolint:paralleltest // it changes the process's tracer
	spans := tracetest.NewSpanRecorder()
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(spans)))
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	e := servicetest.New(t)
	for _, traced := range []bool{false, true} {
		handler, err := api.New(api.Options{Service: e.Service, Store: e.Store, Log: slog.New(slog.DiscardHandler), Traced: traced})
		require.NoError(t, err)
		for _, path := range []string{"/healthz", "/v1/tenants"} {
			r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
			r.Header.Set("Authorization", "Bearer "+servicetest.AdminKey)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			require.Equal(t, http.StatusOK, w.Code)
		}
		if !traced {
			require.Empty(t, spans.Ended())
		}
	}
	require.Len(t, spans.Ended(), 1)
	require.Equal(t, "GET /v1/tenants", spans.Ended()[0].Name())
}
