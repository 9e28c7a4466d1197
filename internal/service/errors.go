package service

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/posthorn/posthorn/models"
)

// Code is the kind of a refusal. Each API puts it into its own shape.
type Code string

// The refusals. Any other failure is not an Error, and callers see it as an "internal error".
const (
	Slow         Code = "slow"         // the request did not arrive in time
	Invalid      Code = "invalid"      // the request is well-formed but wrong
	Unauthorized Code = "unauthorized" // no key, or it is not in force
	Forbidden    Code = "forbidden"    // the key's role does not allow it
	NotFound     Code = "not_found"    // it does not exist, or belongs to another tenant
	Conflict     Code = "conflict"     // it already exists, or the state does not allow it
	Unavailable  Code = "unavailable"  // try again later
	TooMany      Code = "too_many"     // this caller calls too often: Error.RetryAfter says when it may call again
)

// Status returns the HTTP status of a refusal. Each of the other systems has its own for Invalid.
func (c Code) Status() int { return cmp.Or(statuses[c], 500) }

// statuses is the only map from refusals to HTTP statuses.
var statuses = map[Code]int{Slow: 408, Invalid: 422, Unauthorized: 401, Forbidden: 403, NotFound: 404, Conflict: 409, Unavailable: 503, TooMany: 429}

// Error is a refusal whose text may be shown to the caller.
type Error struct {
	Code   Code
	Detail string
	Fields []FieldError
	// RetryAfter is in seconds, at least 1 with TooMany. 0 = none.
	RetryAfter int
}

// FieldError says what is wrong with one field of the request, under its name in /v1 ("url", "events[2].type").
type FieldError struct {
	Field, Message string
}

// Error implements error.
func (e *Error) Error() string {
	if len(e.Fields) == 0 {
		return string(e.Code) + ": " + e.Detail
	}
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Field + ": " + f.Message
	}
	return string(e.Code) + ": " + e.Detail + " (" + strings.Join(parts, "; ") + ")"
}

// Refuse returns an Error.
func Refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// problems collects what is wrong with a request, so that one error names all of it.
type problems []FieldError

func (p *problems) addf(field, format string, args ...any) {
	*p = append(*p, FieldError{field, fmt.Sprintf(format, args...)})
}

// err returns nil if there are no problems.
func (p *problems) err() error {
	if len(*p) == 0 {
		return nil
	}
	return invalid(*p...)
}

// invalid returns the Error of a request with wrong fields.
func invalid(fields ...FieldError) *Error {
	return &Error{Code: Invalid, Detail: "the request is not valid", Fields: fields}
}

// known turns the models' errors into refusals; what is the name of the requested thing.
func known(err error, what string) error {
	switch {
	case errors.Is(err, models.ErrNotFound):
		return Refuse(NotFound, "there is no such %s", what)
	case errors.Is(err, models.ErrBadCursor):
		return invalid(FieldError{"after", "is not a cursor of this list"})
	case errors.Is(err, models.ErrSlow):
		return Refuse(Unavailable, "the query takes too long: narrow it, for example to a shorter time or one id, or retry shortly")
	case errors.Is(err, models.ErrUIDTaken):
		return Refuse(Conflict, "another %s has this name as its id or uid", what)
	case errors.Is(err, models.ErrKeyRemoved):
		return Refuse(Unavailable, "this process has an outdated encryption keyset and cannot store secrets: retry shortly")
	}
	if full, ok := errors.AsType[*models.FullError](err); ok {
		return Refuse(Conflict, "the limit of %d %s is reached", full.Limit, full.Kind)
	}
	return err
}
