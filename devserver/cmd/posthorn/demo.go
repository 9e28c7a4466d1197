package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// demo shows Posthorn at work: receivers that succeed, fail, are slow or recover, and a trickle of events to them.
type demo struct {
	log   *slog.Logger
	hooks *service.Service
	url   string // of the receivers
}

// The pace of the demo.
const (
	demoEvery = 2 * time.Second
	// demoUp and demoDown are for how long the recovering receiver succeeds, and for how long it fails.
	demoUp, demoDown = 3 * time.Minute, 2 * time.Minute
	demoSlow         = 3 * time.Second
	// demoThreshold is the number of failed receptions until a webhook is deactivated, unless the configuration sets
	// another.
	demoThreshold = 60
)

// demoReceivers are the webhooks of the demo.
var demoReceivers = []struct {
	uid, name string
	types     []string
	serve     http.HandlerFunc
}{
	{"demo-well", "Shop (takes everything)", []string{"order.*"}, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, `{"ok":true}`) }},
	{"demo-fails", "Warehouse (fails)", []string{"order.created"}, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":"the warehouse is closed for stocktaking"}`, http.StatusServiceUnavailable)
	}},
	{"demo-slow", "Accounting (slow)", []string{"order.created"}, func(_ http.ResponseWriter, r *http.Request) {
		_ = pause.For(r.Context(), demoSlow)
	}},
	{"demo-recovers", "Analytics (fails now and then)", []string{"order.shipped"}, func(w http.ResponseWriter, _ *http.Request) {
		if time.Now().Unix()%int64((demoUp+demoDown)/time.Second) >= int64(demoUp/time.Second) {
			http.Error(w, `{"error":"restarting"}`, http.StatusBadGateway)
		}
	}},
}

// start begins to listen. It creates the webhooks, or points existing ones here. The receivers listen until the process
// ends, so that POSTs under way at its stop are received.
func (d *demo) start(ctx context.Context, s *service.Service) error {
	d.hooks = s
	mux := http.NewServeMux()
	for _, r := range demoReceivers {
		mux.HandleFunc("POST /"+r.uid, r.serve)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.WithoutCancel(ctx), "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("the receivers of the demo: %w", err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	d.url = "http://" + listener.Addr().String() + "/"
	t, err := s.Store.TenantBySlug(ctx, "demo")
	if err != nil {
		return err
	}
	for _, r := range demoReceivers {
		if err := d.register(ctx, t.ID, r.uid, r.name, r.types); err != nil {
			return fmt.Errorf("the webhooks of the demo: %w", err)
		}
	}
	return nil
}

// register creates a webhook, or points it to the address where its receiver listens now.
func (d *demo) register(ctx context.Context, tenant, uid, name string, types []string) error {
	url, retries := d.url+uid, 6
	change := service.WebhookChange{URL: &url, UID: &uid, Name: &name, EventTypes: &types, By: "demo", Retry: &models.Retry{Initial: 5 * time.Second, Max: &retries}}
	id, err := d.hooks.WebhookID(ctx, tenant, uid)
	if err != nil {
		return err
	}
	if id == uid { // there is no webhook with this uid
		_, _, err = d.hooks.CreateWebhook(ctx, tenant, change)
		return err
	}
	_, err = d.hooks.UpdateWebhook(ctx, tenant, id, service.WebhookChange{URL: &url, By: "demo"})
	return err
}

// publish publishes an event every now and then until ctx ends.
func (d *demo) publish(ctx context.Context) {
	t, err := d.hooks.Store.TenantBySlug(ctx, "demo")
	if err != nil {
		d.log.ErrorContext(ctx, "the demo publishes nothing", "error", err)
		return
	}
	every := time.NewTicker(demoEvery)
	defer every.Stop()
	for n := 1; ; n++ {
		eventType := []string{"order.created", "order.shipped"}[n%2]
		data, err := json.Marshal(map[string]any{"order_id": 1000 + n/2, "total": fmt.Sprintf("%d.90", 10+rand.IntN(90)), "currency": "EUR"}) //nolint:gosec // an example
		if err == nil {
			_, err = d.hooks.Publish(ctx, t.ID, service.PublishRequest{Events: []service.EventInput{{Type: eventType, Data: data, Tags: []string{"demo"}}}})
		}
		if err != nil && ctx.Err() == nil {
			d.log.WarnContext(ctx, "the demo cannot publish an event", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}
