package systems

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/service"
)

// Refusal says why a request was not carried out. The system puts it into its own shape. It contains no internal
// details.
type Refusal struct { //nolint:errname // it is mainly the content of an answer
	Status  int
	Message string
	Fields  []service.FieldError // under the system's own names
	Code    string               // the system's own code; "" = derived from the status
}

// Error implements error: the message, or what is wrong with each field.
func (r *Refusal) Error() string {
	if len(r.Fields) == 0 {
		return r.Message
	}
	parts := make([]string, len(r.Fields))
	for i, f := range r.Fields {
		parts[i] = f.Field + " " + f.Message
	}
	return strings.Join(parts, "; ")
}

// inside is the complete answer to an internal error.
const inside = "an internal error occurred; it has been logged"

func (a *API) refuse(c *gin.Context, err error) {
	var own *Refusal
	var refused *service.Error
	switch {
	case errors.As(err, &own):
	case errors.As(err, &refused):
		own = &Refusal{Status: refused.Code.Status(), Message: refused.Detail}
		if refused.Code == service.Invalid {
			own.Status = a.Invalid
		}
		if refused.RetryAfter > 0 {
			c.Header("Retry-After", strconv.Itoa(refused.RetryAfter))
		}
		for _, f := range refused.Fields {
			own.Fields = append(own.Fields, service.FieldError{Field: a.fieldName(f.Field), Message: f.Message})
		}
	default:
		a.Log.ErrorContext(c.Request.Context(), "request failed", "system", a.System, "method", c.Request.Method,
			"path", c.Request.URL.Path, "error", err)
		own = &Refusal{Status: http.StatusInternalServerError, Message: inside}
	}
	switch own.Status {
	case http.StatusUnauthorized:
		c.Header("WWW-Authenticate", a.Challenge)
	case http.StatusServiceUnavailable:
		c.Header("Retry-After", "1")
	}
	a.Refuse(c, *own)
}

// fieldName translates a field such as "event_types[2]" into the system's name for it.
func (a *API) fieldName(field string) string {
	base := field
	if i := strings.IndexAny(field, "[."); i >= 0 {
		base = field[:i]
	}
	if own, ok := a.Fields[base]; ok {
		return own + field[len(base):]
	}
	return field
}
