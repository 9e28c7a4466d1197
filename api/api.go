// Package api is Posthorn's native HTTP API, /v1, with its OpenAPI document, its documentation page, and the probes and
// metrics of the process. There is one file per resource; auth.go says who may do what, errors.go how every error is
// answered, gate.go, limits.go and bodies.go what is refused before it is looked at.
//
// It maps requests to use cases and answers to JSON, and decides nothing else. It must not import activities, worker,
// workflows or Temporal. Each outside system's API is a package of its own below this one, which must not import this.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/instrumentation/github.com/gin-gonic/gin/otelgin"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/posthorn/posthorn/internal/bodyroom"
	"github.com/posthorn/posthorn/internal/callers"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// Options is what the API stands on. Hooks and Store are required.
type Options struct {
	Hooks *service.Service
	Store *models.Store // asked by /readyz alone
	// Ready says why the engine cannot be reached; nil = nothing to ask.
	Ready func(context.Context) error
	// Draining reports whether the process has been asked to stop: it is not ready from then on. nil = never.
	Draining func() bool
	// Version stands in the OpenAPI document.
	Version string
	// PublicURL is the base of this installation as its clients see it; "" = links are relative.
	PublicURL string
	Log       *slog.Logger // default slog.Default()
	// Registry takes the API's own metrics and is served at /metrics; nil = neither.
	Registry *prometheus.Registry
	// Systems mount the outside systems' APIs, each under its own prefix. They judge requests themselves, by the same Gate,
	// and refuse in their own shapes.
	Systems []func(gin.IRouter)
	// Console serves what is below /console and /portal, and judges requests itself. nil = links to deliveries lead to the API.
	Console http.Handler
	// Gate judges requests before their keys are looked at. Default callers.Default().
	Gate *callers.Gate
	// ProbesOnly serves the probes and metrics, and nothing else.
	ProbesOnly bool
	// MaxBody is the largest request body in bytes, of a batch's every event its largest data. Default 1 MiB.
	MaxBody int64
	// BodyRoom is how many bytes of bodies all requests together may hold. Default 96 MiB, and three times MaxBody at least.
	BodyRoom int64
}

// server is the API with what its handlers need.
type server struct {
	Options
	router *gin.Engine
	huma   huma.API
}

// New makes the handler of everything Posthorn serves over HTTP. It fails if the Registry has these metrics already.
func New(o Options) (http.Handler, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Gate == nil {
		o.Gate = callers.Default()
	}
	if o.MaxBody == 0 {
		o.MaxBody = defaultMaxBody
	}
	if o.BodyRoom == 0 {
		o.BodyRoom = max(bodyroom.Default, 3*o.MaxBody)
	}
	o.PublicURL = strings.TrimRight(o.PublicURL, "/")
	settleHuma()
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.HandleMethodNotAllowed = true
	router.RedirectTrailingSlash = false // a client that is sent elsewhere loses its body
	if err := router.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	s := &server{Options: o, router: router}
	observe, err := s.measure()
	if err != nil {
		return nil, err
	}
	traced := otelgin.Middleware("posthorn", otelgin.WithFilter(isTraced), otelgin.WithMeterProvider(noop.NewMeterProvider())) // observe measures
	router.Use(traced, s.identify, observe, s.recover, boundBodies(bodyroom.New(o.BodyRoom)))
	systems := map[string]bool{}
	if !o.ProbesOnly {
		for _, mount := range o.Systems {
			mount(router)
		}
		s.pages()
		for _, route := range router.Routes() {
			systems[route.Path] = true
		}
	}
	router.Use(s.judge) // for what is added from here on
	router.NoRoute(func(c *gin.Context) { s.fail(c, service.Refuse(service.NotFound, "there is nothing at this path")) })
	router.NoMethod(func(c *gin.Context) {
		s.write(c, newProblem(http.StatusMethodNotAllowed, "the path has no such method"))
	})

	s.huma = humagin.New(router, configuration(o))
	s.health()
	if o.ProbesOnly {
		return router, nil
	}
	s.tenants()
	s.keys()
	s.portalLinks()
	s.eventTypes()
	s.typeDocument()
	s.webhooks()
	s.events()
	s.publishing()
	s.deliveries()
	s.recoveries()
	s.replays()
	s.erasures()
	s.overall()
	s.stats()
	s.audit()
	if o.Console == nil {
		s.deliveryLinks()
	}
	if err := s.documents(); err != nil {
		return nil, err
	}
	addTwins(router, systems)
	return router, nil
}
