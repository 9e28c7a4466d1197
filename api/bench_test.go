package api_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/internal/servicetest"
)

// order is an event of the usual size, about half a kilobyte.
var order = `{"type":"order.created","data":{"id":"o_1","lines":[` + strings.TrimSuffix(strings.Repeat(`{"sku":"A-17","quantity":2,"price":19.90},`, 10), ",") + `]}}`

func publish(handler http.Handler, key string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/v1/tenants/acme/events", strings.NewReader(order))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// BenchmarkPublish measures the cost of accepting an event, with the database, and with as many callers at once as in
// production.
func BenchmarkPublish(b *testing.B) {
	e := servicetest.New(b)
	key := e.Tenant("acme")
	e.EventTypes("order.created")
	e.Webhook("acme", "https://shop.example/hooks")
	handler, err := api.New(api.Options{Service: e.Service, Store: e.Store, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	for name, auth := range map[string]string{"admin": servicetest.AdminKey, "tenant": key} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if w := publish(handler, auth); w.Code != http.StatusAccepted {
						b.Error(w.Body)
						return
					}
				}
			})
		})
	}
}

// BenchmarkRefuse measures the cost of the API and matching without the database: there is no room for the event to
// wait.
func BenchmarkRefuse(b *testing.B) {
	e := servicetest.New(b)
	e.Tenant("acme")
	e.EventTypes("order.created")
	e.Webhook("acme", "https://shop.example/hooks")
	e.Engine.SetFull(true)
	handler, err := api.New(api.Options{Service: e.Service, Store: e.Store, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		require.Equal(b, http.StatusServiceUnavailable, publish(handler, servicetest.AdminKey).Code)
	}
}
