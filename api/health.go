package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// probeTimeout bounds a readiness check. Callers give up after about the same time.
const probeTimeout = 2 * time.Second

// Health is the answer of a probe.
type Health struct {
	Status string `json:"status" enum:"ok,ready"`
}

// health adds the routes that need no key: the probes, and the metrics if there are any.
func (s *server) health() {
	probe := func(path, summary, description string, do gin.HandlerFunc) {
		s.router.GET(path, do)
		s.router.HEAD(path, do)
		schema := s.huma.OpenAPI().Components.Schemas.Schema(typeOf[Health](), true, "")
		s.huma.OpenAPI().AddOperation(&huma.Operation{
			OperationID: path[1:], Method: http.MethodGet, Path: path, Tags: []string{tagService}, Summary: summary, Description: description,
			Security:  []map[string][]string{}, // none
			Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{jsonType: {Schema: schema}}}},
		})
	}
	probe("/healthz", "Is the process alive?", "It does not check the database or Temporal.", func(c *gin.Context) {
		writeJSON(c, http.StatusOK, jsonType, Health{"ok"})
	})
	probe("/readyz", "Can it serve?", "It checks the database, its schema and Temporal. A 503 names what is not ready, or says that the process is stopping.", s.ready)
	if s.Registry != nil {
		s.router.GET("/metrics", gin.WrapH(promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{})))
	}
}

func (s *server) ready(c *gin.Context) {
	if s.Draining != nil && s.Draining() {
		s.write(c, newProblem(http.StatusServiceUnavailable, "not ready", FieldError{"process", "is stopping"}))
		return
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), probeTimeout)
	defer cancel()
	checks := []struct {
		name, problem string
		ask           func(context.Context) error
	}{
		{"database", "does not answer", s.Store.Ping},
		{"schema", "is not up to date", s.Store.Migrated},
		{"temporal", "Temporal cannot be reached", s.Ready},
	}
	p := newProblem(http.StatusServiceUnavailable, "not ready")
	for _, check := range checks {
		if check.ask == nil {
			continue
		}
		if err := check.ask(ctx); err != nil {
			s.Log.WarnContext(ctx, "not ready", "check", check.name, "error", err)
			p.Errors = append(p.Errors, FieldError{check.name, check.problem})
		}
	}
	if len(p.Errors) > 0 {
		s.write(c, p)
		return
	}
	writeJSON(c, http.StatusOK, jsonType, Health{"ready"})
}
