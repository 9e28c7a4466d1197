package api

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// problemKinds are the problem answers, under their names in the document's components. The one without a status
// stands for every other error.
var problemKinds = []struct {
	name, description string
	status            int
}{
	{"BadRequest", "The body is not JSON, or the request is malformed", http.StatusBadRequest},
	{"Unauthorized", "There is no key, or it is not in force", http.StatusUnauthorized},
	{"Forbidden", "The key's role is not sufficient, or a page of another site sent the request", http.StatusForbidden},
	{"NotFound", "It does not exist, or belongs to another tenant", http.StatusNotFound},
	{"RequestTimeout", "The body did not arrive in time", http.StatusRequestTimeout},
	{"Conflict", "The state does not allow it, or it already exists", http.StatusConflict},
	{"TooLarge", "The body is too large", http.StatusRequestEntityTooLarge},
	{"UnsupportedMediaType", "The body is not application/json", http.StatusUnsupportedMediaType},
	{"Invalid", "Well-formed but wrong: errors names each field", http.StatusUnprocessableEntity},
	{"TooMany", "This key calls too often", http.StatusTooManyRequests},
	{"Problem", "Any other error. A 503 with Retry-After means: try again later", 0},
}

// problemStatus returns the status of a kind of problem as operations list it.
func problemStatus(name string) string {
	for _, kind := range problemKinds {
		if kind.name == name && kind.status != 0 {
			return strconv.Itoa(kind.status)
		}
	}
	return "default"
}

// problems documents the problem answers.
func (s *server) problems() map[string]*huma.Response {
	schema := s.huma.OpenAPI().Components.Schemas.Schema(typeOf[Problem](), true, "")
	header := func(kind, description string, example any) *huma.Param {
		return &huma.Param{Description: description, Schema: &huma.Schema{Type: kind, Examples: []any{example}}}
	}
	all := map[string]*huma.Response{}
	for _, kind := range problemKinds {
		status, detail := cmp.Or(kind.status, http.StatusServiceUnavailable), "what was wrong, as a sentence"
		response := &huma.Response{Description: kind.description, Content: map[string]*huma.MediaType{
			problemType: {Schema: schema, Example: map[string]any{"title": http.StatusText(status), "status": status, "detail": detail}},
		}}
		switch kind.status {
		case http.StatusUnauthorized:
			response.Headers = map[string]*huma.Param{"WWW-Authenticate": header(huma.TypeString, "The scheme to authenticate with.", `Bearer realm="posthorn"`)}
		case http.StatusTooManyRequests, 0:
			response.Headers = map[string]*huma.Param{"Retry-After": header(huma.TypeInteger, "Seconds to wait.", 1)}
		}
		all[kind.name] = response
	}
	return all
}

// refusals returns the kinds of problems that an operation may answer with.
func refusals(op *huma.Operation) []string {
	names := []string{"BadRequest", "Forbidden", "Problem"}
	if len(op.Security) == 0 {
		return names
	}
	names = append(names, "Unauthorized", "Invalid", "TooMany")
	if strings.Contains(op.Path, "{") {
		names = append(names, "NotFound")
	}
	if op.Method != http.MethodGet {
		names = append(names, "Conflict")
	}
	if op.RequestBody != nil {
		names = append(names, "RequestTimeout", "TooLarge", "UnsupportedMediaType")
	}
	slices.Sort(names)
	return names
}
