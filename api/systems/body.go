package systems

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/posthorn/posthorn/internal/bodyroom"
	"github.com/posthorn/posthorn/internal/cut"
	"github.com/posthorn/posthorn/internal/hooks"
)

// MaxBody is the largest request body, in bytes.
const MaxBody = 1 << 20

// work carries the request out, when its body has arrived and it is its tenant's turn.
func (q *Request) work(h Handler) error {
	if err := q.receive(); err != nil {
		return err
	}
	ctx, leave, err := q.API.Hooks.Enter(q.Ctx(), q.Tenant)
	if err != nil {
		return err
	}
	defer leave()
	q.Request = q.Request.WithContext(ctx)
	return h(q)
}

// receive reads the request's body into memory, as far as Body reads it. An administrator's key has no share of the room
// for bodies: it serves all tenants.
func (q *Request) receive() error {
	if q.Request.Body == nil || q.Request.Body == http.NoBody {
		return nil
	}
	key := q.Who.KeyID
	if q.Who.Tenant == "" {
		key = ""
	}
	bodyroom.Charge(q.Request, q.Tenant, key)
	body, err := io.ReadAll(io.LimitReader(q.Request.Body, MaxBody+1))
	var refused *hooks.Error
	switch {
	case errors.As(err, &refused):
		return err
	case err != nil:
		return &Refusal{Status: http.StatusBadRequest, Message: "the body could not be read"}
	}
	q.Request.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// Body reads the request's body. What is too large is refused with 413.
func (q *Request) Body() ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(q.Writer, q.Request.Body, MaxBody))
	var large *http.MaxBytesError
	var refused *hooks.Error
	switch {
	case errors.As(err, &refused):
		return nil, err
	case errors.As(err, &large):
		return nil, &Refusal{Status: http.StatusRequestEntityTooLarge, Message: "the body must be at most 1 MiB"}
	case err != nil:
		return nil, &Refusal{Status: http.StatusBadRequest, Message: "the body could not be read"}
	}
	return body, nil
}

// Decode reads a JSON object, whatever content type it is sent with, as curl's own default is not JSON's. It is
// strict: members that v does not have are refused.
func (q *Request) Decode(v any) error {
	body, err := q.Body()
	if err != nil {
		return err
	}
	return q.Parse(body, v)
}

// Parse is Decode for a body that has been read already.
func (q *Request) Parse(body []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(v)
	if err == nil {
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		return q.malformed("the body must be one JSON object")
	}
	var mistyped *json.UnmarshalTypeError
	if errors.As(err, &mistyped) && mistyped.Field != "" {
		return q.Invalid(mistyped.Field, "must be %s", kind(mistyped.Type))
	}
	if unknown, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok { // encoding/json has no type for it
		return q.unknown(strings.Trim(unknown, `"`))
	}
	return q.malformed("the body must be a JSON object")
}

func (q *Request) malformed(message string) error {
	return &Refusal{Status: q.API.Invalid, Message: message}
}

func kind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "a boolean"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "a string"
	}
}

// unknown refuses a name that nobody knows, and repeats only its beginning.
func (q *Request) unknown(name string) error {
	return q.Invalid(cut.Text(name, 100), "is not known")
}

// FormValues reads a form-encoded body (application/x-www-form-urlencoded, whatever it is called) with no other than
// the known names.
func (q *Request) FormValues(known ...string) (url.Values, error) {
	body, err := q.Body()
	if err != nil {
		return nil, err
	}
	return q.ParseForm(body, known...)
}

// ParseForm is FormValues for a body that has been read already.
func (q *Request) ParseForm(body []byte, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, q.malformed("the body must be form-encoded")
	}
	for name := range values {
		if !slices.Contains(known, name) {
			return nil, q.unknown(name)
		}
	}
	return values, nil
}

// Split takes a comma-separated list apart, however often it was given.
func Split(lists ...string) []string {
	var parts []string
	for _, list := range lists {
		for part := range strings.SplitSeq(list, ",") {
			if part = strings.TrimSpace(part); part != "" {
				parts = append(parts, part)
			}
		}
	}
	return parts
}
