package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/service"
)

// handle adds an operation. huma reads, checks and documents its parameters and body. The gate in front of it decides
// which requests get that far. errors.go turns errors into answers.
func handle[I, O any](s *server, need access, op huma.Operation, do func(context.Context, *I) (*O, error)) {
	register(s, need, op, func(ctx context.Context, in *I) (*O, error) {
		if wrong := wrongQuery(ctx); len(wrong) > 0 {
			return nil, invalid(wrong...)
		}
		return do(ctx, in)
	})
}

// handleWhole is handle for an operation that refuses a request of which something is wrong already (wrongAlready), and names with that
// all that it finds wrong itself. It may be called with a part of a body that huma has refused.
func handleWhole[I, O any](s *server, need access, op huma.Operation, do func(context.Context, *I) (*O, error)) {
	register(s, need, op, func(ctx context.Context, in *I) (*O, error) {
		if wrong := wrongQuery(ctx); len(wrong) > 0 {
			ctx = withWrong(ctx, wrong)
		}
		return do(ctx, in)
	}, judging(do))
}

func register[I, O any](s *server, need access, op huma.Operation, do func(context.Context, *I) (*O, error), more ...func(huma.Context, func(huma.Context))) {
	describe(&op, need)
	op.Middlewares = append(huma.Middlewares{s.gate(need)}, more...)
	op.MaxBodyBytes, op.BodyReadTimeout = -1, -1 // the gate has read the body
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := do(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
}

// gate lets a request through to its operation if its key has the access and its body is acceptable. The context then
// carries the principal.
func (s *server) gate(need access) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		c := humagin.Unwrap(ctx)
		var wrong []FieldError
		p, err := s.admit(c, need)
		if err == nil {
			chargeBody(c, p)
			wrong, err = checkQuery(ctx.Operation(), c.Request.URL.RawQuery)
		}
		if err == nil {
			err = s.bufferBody(c)
		}
		if err == nil {
			var leave func()
			if leave, err = s.enter(c, p, int(c.Request.ContentLength)); err == nil {
				defer leave()
			}
		}
		if err != nil {
			s.fail(c, err)
			return
		}
		next(huma.WithValue(huma.WithValue(ctx, principalKey{}, p), wrongQueryKey{}, wrong))
	}
}

type (
	principalKey  struct{}
	wrongQueryKey struct{}
)

// wrongQuery returns the faults that the gate found in the request's query. The answer names them together with all
// others.
func wrongQuery(ctx context.Context) []FieldError {
	wrong, _ := ctx.Value(wrongQueryKey{}).([]FieldError)
	return wrong
}

// caller returns the principal, in an operation added by handle.
func caller(ctx context.Context) service.Principal {
	p, _ := ctx.Value(principalKey{}).(service.Principal)
	return p
}

// handlePlain adds an operation that is documented and routed like any other, from its input I and output O, but does
// its own reading and writing. It is for operations whose bytes must stay unchanged and where each microsecond counts.
func handlePlain[I, O any](s *server, need access, op huma.Operation, do func(*gin.Context) error) {
	describe(&op, need)
	plain := plainAPI{s.huma, func(ctx huma.Context) {
		c := humagin.Unwrap(ctx)
		p, err := s.admit(c, need)
		if err == nil {
			chargeBody(c, p)
			var wrong []FieldError
			if wrong, err = checkQuery(ctx.Operation(), c.Request.URL.RawQuery); len(wrong) > 0 {
				err = invalid(wrong...)
			}
		}
		if err == nil {
			err = do(c)
		}
		if err != nil {
			s.fail(c, err)
		}
	}}
	huma.Register[I, O](plain, op, nil)
}

// plainAPI is huma's API with another way to put a handler behind a route.
type plainAPI struct {
	huma.API
	do func(huma.Context)
}

// Adapter implements huma.API.
func (p plainAPI) Adapter() huma.Adapter { return plainAdapter{p.API.Adapter(), p.do} }

type plainAdapter struct {
	huma.Adapter
	do func(huma.Context)
}

// Handle implements huma.Adapter.
func (a plainAdapter) Handle(op *huma.Operation, _ func(huma.Context)) { a.Adapter.Handle(op, a.do) }

// describe adds an operation's required roles to its documentation.
func describe(op *huma.Operation, need access) {
	op.Security = []map[string][]string{{"key": {}}}
	op.Extensions = map[string]any{"x-roles": need.roles()}
}
