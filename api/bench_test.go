package api_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/internal/hookstest"
)

// BenchmarkPublish is what accepting an event costs, database included, with as many callers at once as in production.
func BenchmarkPublish(b *testing.B) {
	e := hookstest.New(b)
	key := e.Tenant("acme")
	e.EventTypes("order.created")
	e.Webhook("acme", "https://shop.example/hooks")
	handler, err := api.New(api.Options{Hooks: e.Hooks, Store: e.Store, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	body := `{"type":"order.created","data":{"id":"o_1","lines":[` + strings.TrimSuffix(strings.Repeat(`{"sku":"A-17","quantity":2,"price":19.90},`, 10), ",") + `]}}`
	for name, auth := range map[string]string{"admin": hookstest.AdminKey, "tenant": key} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := httptest.NewRequest(http.MethodPost, "/v1/tenants/acme/events", strings.NewReader(body))
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("Authorization", "Bearer "+auth)
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, r)
					if w.Code != http.StatusAccepted {
						b.Error(w.Body)
						return
					}
				}
			})
		})
	}
}

// BenchmarkRefuse is what the API itself costs: everything up to the use case, which refuses without the database.
func BenchmarkRefuse(b *testing.B) {
	e := hookstest.New(b)
	e.Tenant("acme")
	handler, err := api.New(api.Options{Hooks: e.Hooks, Store: e.Store, Registry: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(b, err)
	body := `{"type":"no.such","data":{"id":"o_1","lines":[` + strings.TrimSuffix(strings.Repeat(`{"sku":"A-17","quantity":2,"price":19.90},`, 10), ",") + `]}}`
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/v1/tenants/acme/events", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+hookstest.AdminKey)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusUnprocessableEntity {
			b.Fatal(w.Body)
		}
	}
}
