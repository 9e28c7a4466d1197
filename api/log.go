package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/posthorn/posthorn/internal/callers"
	"github.com/posthorn/posthorn/internal/panics"
	"github.com/posthorn/posthorn/internal/service"
)

const (
	requestIDHeader = "X-Request-Id"
	requestIDField  = "request_id"    // in the log
	principalField  = "api.principal" // in the Gin context
	maxRequestID    = 64              // the longest id that a caller may choose, in bytes
	unrouted        = "none"          // the route label of all unknown paths in the metrics
)

// identify gives the request an id, or keeps the caller's own if it is a plain one. It sends the id in the answer,
// notes the request's source address, and sets the headers that every answer has.
func (s *server) identify(c *gin.Context) {
	id := c.GetHeader(requestIDHeader)
	if !isPlain(id) {
		id = uuid.NewString()
	}
	actor := service.Actor{Address: s.Gate.Address(c.Request), RequestID: id}
	c.Request = c.Request.WithContext(service.WithActor(c.Request.Context(), actor))
	callers.Harden(c.Writer.Header(), c.Request)
	c.Header(requestIDHeader, id)
}

func requestID(ctx context.Context) string { return service.ActorOf(ctx).RequestID }

// isPlain reports whether a caller's id can be put in a header and a log unchanged.
func isPlain(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// isTraced keeps probes and scrapes out of the traces.
func isTraced(r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz", "/readyz", "/metrics":
		return false
	}
	return true
}

// measure returns the middleware that logs and times every request.
func (s *server) measure() (gin.HandlerFunc, error) {
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "posthorn_http_request_duration_seconds", Help: "Time from a request's headers to the end of its answer, by route and status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"method", "route", "status"})
	if s.Registry != nil {
		if err := s.Registry.Register(durations); err != nil {
			return nil, fmt.Errorf("api: register metrics: %w", err)
		}
	}
	return func(c *gin.Context) {
		begun := time.Now()
		c.Next()
		took, status := time.Since(begun), c.Writer.Status()
		route := strings.TrimSuffix(c.FullPath(), "/")
		if route == "" {
			route = unrouted
		}
		durations.WithLabelValues(knownMethod(c.Request.Method), route, strconv.Itoa(status)).Observe(took.Seconds())
		s.logRequest(c, status, took)
	}, nil
}

// knownMethod keeps callers from adding label values to the metrics.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// logRequest logs requests that were refused or failed. Successful ones are logged at debug level: at thousands of
// events a second logging would cost more than accepting them. Query, headers and bodies are never logged, as any may
// hold a secret.
func (s *server) logRequest(c *gin.Context, status int, took time.Duration) {
	level := slog.LevelDebug
	switch {
	case status >= http.StatusInternalServerError:
		level = slog.LevelWarn
	case status >= http.StatusBadRequest:
		level = slog.LevelInfo
	}
	ctx := c.Request.Context()
	if !s.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", c.Request.Method), slog.String("path", c.Request.URL.Path), slog.Int("status", status),
		slog.Duration("took", took), slog.String("remote", service.ActorOf(ctx).Address), slog.String(requestIDField, requestID(ctx)),
	}
	if p := principal(c); p.KeyID != "" {
		attrs = append(attrs, slog.String("key", p.KeyID), slog.String("tenant", p.Tenant))
	}
	s.Log.LogAttrs(ctx, level, "request", attrs...)
}

// recover answers for a handler that panicked.
func (s *server) recover(c *gin.Context) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler: // it asks to cut the connection
			panic(v)
		default:
			panics.Note(s.Log, "a request", v, "method", c.Request.Method, "route", c.FullPath(), requestIDField, requestID(c.Request.Context()))
			s.write(c, newProblem(http.StatusInternalServerError, "internal error"))
		}
	}()
	c.Next()
}
