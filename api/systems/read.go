package systems

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/posthorn/posthorn/internal/cut"
	"github.com/posthorn/posthorn/internal/service"
)

// MaxBody is the largest request body, in bytes.
const MaxBody = 1 << 20

// maxProblems bounds how many wrong fields one answer names.
const maxProblems = 100

// read reads the operation's fields from the request. It returns an error only if the request cannot be read at all.
// Problems with single fields are collected for Err, so that one answer names all of them.
func (q *Request) read(o *Operation) error {
	q.operation, q.In = o, Values{}
	query, err := url.ParseQuery(q.Request.URL.RawQuery)
	if err != nil {
		q.Problemf("query", "must be URL-encoded, with & between the parameters")
	}
	fields := o.Query
	if o.Body == Parameters {
		fields = append(slices.Clone(fields), o.Fields...)
	}
	q.readForm(query, fields, o.Body != Parameters)
	q.missing("", o.Query, q.In)
	if o.Body == NoBody {
		return nil
	}
	body, err := q.body()
	if err != nil {
		return err
	}
	if q.readBody(body); !q.blames("body") { // else the fields are unknown
		q.missing("", o.Fields, q.In)
	}
	return nil
}

// body returns the request's body. A body that is too large is refused with 413, a compressed one with 415.
func (q *Request) body() ([]byte, error) {
	if encoding := q.GetHeader("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, &Refusal{Status: http.StatusUnsupportedMediaType, Message: "the body must not be compressed (Content-Encoding)"}
	}
	if len(q.arrived) > MaxBody {
		return nil, &Refusal{Status: http.StatusRequestEntityTooLarge, Message: "the body must be at most 1 MiB"}
	}
	return q.arrived, nil
}

func (q *Request) readBody(body []byte) {
	empty := len(bytes.TrimSpace(body)) == 0
	if q.operation.Body != Parameters {
		if !empty || q.operation.Body == JSON {
			q.readJSON(body)
		}
		return
	}
	media, parameters, _ := mime.ParseMediaType(q.GetHeader("Content-Type"))
	switch {
	case empty:
	case media == "multipart/form-data":
		q.readMultipart(body, parameters["boundary"])
	case media == "application/json", strings.HasSuffix(media, "+json"), strings.IndexByte("{[", bytes.TrimSpace(body)[0]) >= 0:
		q.readJSON(body)
	default:
		values, err := url.ParseQuery(string(body))
		if err != nil {
			q.Problemf("body", "must be a JSON object or form-encoded")
			return
		}
		q.readForm(values, q.operation.Fields, false)
	}
}

// missing reports the required fields that are absent.
func (q *Request) missing(prefix string, fields []Field, in Values) {
	for i := range fields {
		f := &fields[i]
		value, given := in[f.Name]
		if f.Required && (!given || value == nil && !f.Nullable) && !q.blames(prefix+f.Name) {
			q.Problemf(prefix+f.Name, "is required")
		}
	}
}

// Problemf notes that a field of the request is wrong. The request is not carried out then.
func (q *Request) Problemf(field, format string, args ...any) {
	problem := service.FieldError{Field: field, Message: fmt.Sprintf(format, args...)}
	if len(q.problems) < maxProblems && !slices.Contains(q.problems, problem) {
		q.problems = append(q.problems, problem)
	}
}

// Wrong returns the problems found so far, for a use case that adds its own to them.
func (q *Request) Wrong() []service.FieldError { return slices.Clone(q.problems) }

// Err returns everything that is wrong with the request as far as is known so far; nil if nothing is.
func (q *Request) Err() error {
	if len(q.problems) == 0 {
		return nil
	}
	return &Refusal{Status: q.API.Invalid, Message: "the request is not valid", Fields: q.problems}
}

// blames reports whether a problem has been noted with the field, or within it.
func (q *Request) blames(field string) bool {
	return slices.ContainsFunc(q.problems, func(p service.FieldError) bool {
		rest, ok := strings.CutPrefix(p.Field, field)
		return ok && (rest == "" || rest[0] == '[' || rest[0] == '.')
	})
}

// clip shortens a name that an answer repeats: it can be as long as the body.
func clip(name string) string { return cut.Text(strings.ToValidUTF8(name, "�"), 100) }
