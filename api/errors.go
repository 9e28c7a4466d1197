package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/cut"
	"github.com/posthorn/posthorn/internal/service"
)

// headers are the headers of a refusal's answer.
var headers = map[service.Code]http.Header{
	service.Unauthorized: {"Www-Authenticate": {`Bearer realm="posthorn"`}},
	service.Unavailable:  {"Retry-After": {"1"}},
}

// Problem is the body of every answer that is an error (RFC 9457).
type Problem struct { //nolint:errname // it names the schema, too
	Title  string       `json:"title" doc:"The status in words." example:"Unprocessable Entity"`
	Status int          `json:"status" doc:"The HTTP status code." example:"422"`
	Detail string       `json:"detail" doc:"What is wrong, as a sentence." example:"the request is not valid"`
	Errors []FieldError `json:"errors,omitempty" doc:"What is wrong with each field of the request."`

	header http.Header
}

// FieldError says what is wrong with one field of a request.
type FieldError struct {
	Field   string `json:"field" doc:"The field's path in the body, or the name of the parameter or header." example:"event_types[0]"`
	Message string `json:"message" doc:"What is wrong with it." example:"\"order.craeted\" is not a known event type"`
}

func newProblem(status int, detail string, fields ...FieldError) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail, Errors: fields}
}

// notValid is the detail of every 422 that names fields.
const notValid = "the request is not valid"

// invalid returns the problem that names wrong fields of a request.
func invalid(fields ...FieldError) *Problem {
	return newProblem(http.StatusUnprocessableEntity, notValid, fields...)
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

var (
	_ huma.StatusError       = (*Problem)(nil)
	_ huma.HeadersError      = (*Problem)(nil)
	_ huma.ContentTypeFilter = (*Problem)(nil)
)

// problem returns the answer to an error.
func (s *server) problem(ctx context.Context, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var refused *service.Error
	if !errors.As(err, &refused) {
		if ctx.Err() == nil { // else the client has gone
			s.Log.ErrorContext(ctx, "request failed", "error", err, requestIDField, requestID(ctx))
		}
		return newProblem(http.StatusInternalServerError, "internal error")
	}
	p = newProblem(refused.Code.Status(), refused.Detail)
	p.header = headers[refused.Code]
	if refused.RetryAfter > 0 {
		p.header = http.Header{"Retry-After": {strconv.Itoa(refused.RetryAfter)}}
	}
	for _, f := range refused.Fields {
		p.Errors = append(p.Errors, FieldError{shortName(f.Field), f.Message})
	}
	return p
}

// fail answers with an error where huma does not do it.
func (s *server) fail(c *gin.Context, err error) { s.write(c, s.problem(c.Request.Context(), err)) }

func (s *server) write(c *gin.Context, p *Problem) {
	c.Abort()
	if c.Writer.Written() {
		return
	}
	maps.Copy(c.Writer.Header(), p.header)
	writeJSON(c, p.Status, problemType, p)
}

func writeJSON(c *gin.Context, status int, contentType string, v any) {
	c.Header("Content-Type", contentType)
	c.Status(status)
	encoder := json.NewEncoder(c.Writer)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) //nolint:errchkjson // our own types always encode: it fails only if the client has gone
}

// settleHuma sets huma's process-wide settings: the form of its errors, and that field names match exactly.
var settleHuma = sync.OnceFunc(func() {
	huma.NewError = func(status int, detail string, errs ...error) huma.StatusError { return refine(status, detail, errs) }
	huma.NewErrorWithContext = func(ctx huma.Context, status int, detail string, errs ...error) huma.StatusError {
		p := refine(status, detail, errs, wrongQuery(ctx.Context())...)
		if also, ok := ctx.Context().Value(judgeKey{}).(judge); ok && status == http.StatusUnprocessableEntity {
			p.Errors = append(p.Errors, also(ctx.Context(), p.Errors)...)
			slices.SortFunc(p.Errors, func(a, b FieldError) int { return strings.Compare(a.Field, b.Field) })
		}
		return p
	}
	huma.ValidateStrictCasing = true
	huma.DefaultArrayNullable = false
})

// refine turns huma's errors about a request into the words and names of all other refusals. more is what else is
// wrong with its fields.
func refine(status int, detail string, errs []error, more ...FieldError) *Problem {
	if detail == "validation failed" {
		detail = notValid
	}
	p := newProblem(status, detail)
	if status == http.StatusUnprocessableEntity {
		p.Errors = slices.Clone(more)
	}
	for _, err := range errs {
		var told huma.ErrorDetailer
		if !errors.As(err, &told) {
			continue
		}
		e := fieldError(told.ErrorDetail())
		if !slices.ContainsFunc(more, func(m FieldError) bool { return m.Field == e.Field }) {
			p.Errors = append(p.Errors, e)
		}
	}
	slices.SortFunc(p.Errors, func(a, b FieldError) int { return strings.Compare(a.Field, b.Field) })
	p.Errors = slices.Compact(p.Errors)
	return p
}

// shortName shortens a field's name for an error. A caller may have sent any text as a name.
func shortName(name string) string { return cut.Text(name, 200) }

// ownWords replaces messages of huma's that API users would not understand.
var ownWords = map[string]string{
	"unexpected property": "is not a known field",
	"invalid integer":     "must be a whole number",
}

var missing = regexp.MustCompile(`^expected required property (\S+) to be present$`)

// fieldError drops the location prefix and the value, which may be a secret.
func fieldError(d *huma.ErrorDetail) FieldError {
	e := FieldError{Field: shortName(d.Location), Message: d.Message}
	for _, place := range []string{"body.", "path.", "query.", "header."} {
		e.Field = strings.TrimPrefix(e.Field, place)
	}
	if name := missing.FindStringSubmatch(d.Message); name != nil {
		e.Field = strings.TrimPrefix(e.Field+"."+name[1], "body.")
		e.Message = "is required"
	}
	if field, ok := strings.CutSuffix(d.Message, " "+badNumber); ok {
		e.Field, e.Message = field, badNumber
	}
	e.Message = strings.TrimPrefix(e.Message, "invalid value: ") // of a parameter with its own message
	if own, ok := ownWords[e.Message]; ok {
		e.Message = own
	}
	return e
}
