// Package api is Posthorn's native HTTP API, /v1, with its OpenAPI document and documentation page, and the probes and
// metrics of the process. There is one file per resource. auth.go holds the access rules, and errors.go turns every
// error into an answer. gate.go and bodyroom.go refuse requests before a handler sees them.
//
// The package maps requests to use cases and results to JSON, and decides nothing else. It must not import activities,
// worker, workflows or Temporal. The APIs of the other systems are packages below this one, and must not import it.
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

// Options holds what the API needs. Service and Store are required.
type Options struct {
	Service *service.Service
	Store   *models.Store // for /readyz, and to read the tenant that a PUT changes
	// Ready returns an error if the engine cannot be reached. nil = there is nothing to check.
	Ready func(context.Context) error
	// Draining reports whether the process has been asked to stop. From then on it is not ready. nil = never.
	Draining func() bool
	// Version is shown in the OpenAPI document.
	Version string
	// PublicURL is this installation's base URL as clients see it. "" = links are relative.
	PublicURL string
	Log       *slog.Logger // default slog.Default()
	// Registry takes the API's own metrics and is served at /metrics. nil = no metrics.
	Registry *prometheus.Registry
	// Systems mount the APIs of the other systems, each under its own prefix. They check requests themselves, with the
	// same Gate, and refuse them in their own shapes.
	Systems []func(gin.IRouter)
	// Console serves /console and /portal, and checks requests itself. nil = links to deliveries lead to the API.
	Console http.Handler
	// Gate checks requests before their keys are read. Default callers.Default().
	Gate *callers.Gate
	// ProbesOnly serves the probes and metrics only.
	ProbesOnly bool
	// Traced sends a span of each request to the process's tracer. Without a tracer it would only cost time.
	Traced bool
	// MaxBody is the largest request body in bytes. In a batch it is the largest data of one event. Default 1 MiB.
	MaxBody int64
	// BodyRoom is how many bytes of bodies all requests together may hold. Default 96 MiB, but at least three times
	// MaxBody.
	BodyRoom int64
}

// server is the API and what its handlers need.
type server struct {
	Options
	router *gin.Engine
	huma   huma.API
}

// New returns the handler of everything that Posthorn serves over HTTP. It fails if the Registry already has these
// metrics.
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
	router.RedirectTrailingSlash = false // a redirected client loses its body
	if err := router.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	s := &server{Options: o, router: router}
	observe, err := s.measure()
	if err != nil {
		return nil, err
	}
	if o.Traced {
		router.Use(otelgin.Middleware("posthorn", otelgin.WithFilter(isTraced), otelgin.WithMeterProvider(noop.NewMeterProvider()))) // measure collects the metrics
	}
	router.Use(s.identify, observe, s.recover, boundBodies(bodyroom.New(o.BodyRoom)))
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
	router.Use(s.judge) // for all routes added below
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
