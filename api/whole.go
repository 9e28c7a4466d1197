package api

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/service"
)

// One answer names both what huma finds wrong with a body and what a use case does. After huma has refused a body, the operation
// runs with the other fields and a list of the wrong ones. It then always refuses the request, changes nothing, and names what
// else is wrong.

type (
	judgeKey        struct{}
	wrongAlreadyKey struct{}
)

// judge finds what else is wrong with a request whose wrong fields it is given.
type judge func(ctx context.Context, wrong []FieldError) []FieldError

// wrongAlready returns what has been found wrong with the request before its operation was called. The operation hands it to its
// use case, which refuses the request with all that is wrong.
func wrongAlready(ctx context.Context) []service.FieldError {
	wrong, _ := ctx.Value(wrongAlreadyKey{}).([]service.FieldError)
	return slices.Clone(wrong)
}

func withWrong(ctx context.Context, wrong []FieldError) context.Context {
	told := make([]service.FieldError, len(wrong))
	for i, f := range wrong {
		told[i] = service.FieldError(f)
	}
	return context.WithValue(ctx, wrongAlreadyKey{}, told)
}

// judging leaves in the context how do judges a body that huma refuses.
func judging[I, O any](do func(context.Context, *I) (*O, error)) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		c := humagin.Unwrap(ctx)
		next(huma.WithValue(ctx, judgeKey{}, judge(func(ctx context.Context, wrong []FieldError) []FieldError {
			in, ok := withoutFields[I](c, wrong)
			if !ok {
				return nil
			}
			_, err := do(withWrong(ctx, wrong), in)
			return othersWrong(wrong, err, func(a, b string) bool { return outermost(a) == outermost(b) })
		})))
	}
}

// withoutFields reads the input of an operation without the fields of the body that are wrong. ok is false if there is no body to
// read then.
func withoutFields[I any](c *gin.Context, wrong []FieldError) (in *I, ok bool) {
	body, _ := c.Get(bodyField)
	text, _ := body.([]byte)
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil || fields == nil {
		return nil, false
	}
	for _, f := range wrong {
		delete(fields, outermost(f.Field))
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, false
	}
	in = new(I)
	v := reflect.ValueOf(in).Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		if name := f.Tag.Get("path"); name != "" {
			v.FieldByIndex(f.Index).SetString(c.Param(name))
		}
	}
	return in, json.Unmarshal(text, v.FieldByName("Body").Addr().Interface()) == nil
}

// othersWrong returns what an error says of fields of which nothing is known to be wrong. What it says of the others is not about
// what was sent. same reports whether two names are of one field.
func othersWrong(wrong []FieldError, err error, same func(wrong, other string) bool) (others []FieldError) {
	refused, ok := errors.AsType[*service.Error](err)
	if !ok || refused.Code != service.Invalid {
		return nil
	}
	for _, f := range refused.Fields {
		if !slices.ContainsFunc(wrong, func(w FieldError) bool { return same(w.Field, f.Field) }) {
			others = append(others, FieldError{shortName(f.Field), f.Message})
		}
	}
	return others
}

// outermost is the member of the body that a field is in.
func outermost(field string) string {
	if end := strings.IndexAny(field, ".["); end >= 0 {
		return field[:end]
	}
	return field
}
