package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/bodyroom"
	"github.com/posthorn/posthorn/internal/rawjson"
	"github.com/posthorn/posthorn/internal/service"
)

// The size limits of bodies.
const (
	defaultMaxBody = 1 << 20          // bytes
	maxBatchBody   = bodyroom.Largest // bytes of a batch of events
)

// bodyField is where a request keeps its body.
const bodyField = "posthorn.body"

// bufferBody reads the body, makes the checks that apply to every body, and puts the bytes where huma reads them.
func (s *server) bufferBody(c *gin.Context) error {
	body, err := readBody(c, s.MaxBody)
	if err != nil {
		return err
	}
	c.Request.Body, c.Request.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	c.Set(bodyField, body)
	if len(body) == 0 {
		return nil
	}
	return checkNames(rawjson.Trim(body), "", 2)
}

// readBody reads a JSON body of at most limit bytes. It fails with a *Problem: 415 if the Content-Type is not JSON,
// 413 if the body is too long, 400 if it is not well-formed. For a request without a body it returns none.
func readBody(c *gin.Context, limit int64) ([]byte, error) {
	r := c.Request
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if types := r.Header.Values("Content-Type"); len(types) > 1 || len(types) == 1 && !isJSON(types[0]) {
		return nil, newProblem(http.StatusUnsupportedMediaType, "the body must be application/json", FieldError{"Content-Type", "must be application/json"})
	}
	if len(r.Header.Values("Content-Encoding")) > 0 {
		encoded := newProblem(http.StatusUnsupportedMediaType, "the body must be sent without a Content-Encoding",
			FieldError{"Content-Encoding", "is not supported"})
		encoded.header = http.Header{"Accept-Encoding": {"identity"}} // RFC 9110, 15.5.16
		return nil, encoded
	}
	tooLarge := newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body may have at most %d bytes", limit))
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	var b bytes.Buffer
	b.Grow(int(min(max(r.ContentLength, 0)+bytes.MinRead, 8<<10))) // no more than that: the client may have lied about the length
	if _, err := b.ReadFrom(http.MaxBytesReader(c.Writer, r.Body, limit)); err != nil {
		return nil, unreadable(err, tooLarge)
	}
	if b.Len() == 0 {
		return nil, nil
	}
	return b.Bytes(), wellFormed(b.Bytes())
}

func unreadable(err error, tooLarge *Problem) error {
	var long *http.MaxBytesError
	var refused *service.Error
	switch {
	case errors.As(err, &refused):
		return err
	case errors.As(err, &long):
		return tooLarge
	default:
		return newProblem(http.StatusBadRequest, "the body did not arrive completely")
	}
}

// isJSON reports whether a Content-Type is application/json. A missing one counts as JSON (RFC 9110, 8.3 leaves it
// open).
func isJSON(contentType string) bool {
	if contentType == "" || contentType == "application/json" {
		return true
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != "application/json" {
		return false
	}
	charset, given := params["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}

// wellFormed refuses a body that is not one JSON text in UTF-8 (RFC 8259).
func wellFormed(body []byte) error {
	if !utf8.Valid(body) {
		return newProblem(http.StatusBadRequest, "the body is not UTF-8")
	}
	if json.Valid(body) {
		return nil
	}
	var v any
	err := json.Unmarshal(body, &v)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return newProblem(http.StatusBadRequest, fmt.Sprintf("the body is not JSON: %s, at byte %d", syntax, syntax.Offset))
	}
	return newProblem(http.StatusBadRequest, "the body is not JSON")
}

// checkNames refuses an object that has the same name twice: parsers differ in which of the two counts. It checks
// levels deep, as far as the names are ours.
func checkNames(value []byte, path string, levels int) error {
	if len(value) == 0 || value[0] != '{' || levels == 0 {
		return nil
	}
	seen := map[string]bool{}
	for quoted, pair := range rawjson.Members(value) {
		name := rawjson.Name(quoted)
		if seen[name] {
			return twice(path + name)
		}
		seen[name] = true
		if err := checkNames(rawjson.Value(quoted, pair), path+name+".", levels-1); err != nil {
			return err
		}
	}
	return nil
}

func twice(field string) *Problem {
	return newProblem(http.StatusBadRequest, "the body names a field twice", FieldError{field, "is named twice"})
}
