package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// env is a whole installation behind its HTTP API.
type env struct {
	*servicetest.Env
	t       *testing.T
	handler http.Handler
	log     *lockedBuffer
	key     string // of the tenant acme, with role tenant
}

// keysOfEveryRole returns a key of acme for each role, and the admin key.
func (e *env) keysOfEveryRole() map[models.Role]string {
	keys := map[models.Role]string{models.RoleAdmin: servicetest.AdminKey}
	for _, role := range models.Roles() {
		keys[role] = e.Key("acme", role)
	}
	return keys
}

func newEnv(t *testing.T, options ...servicetest.Option) *env {
	t.Helper()
	return newEnvWith(t, func(*api.Options) {}, options...)
}

// newEnvWith lets the test change the API's options.
func newEnvWith(t *testing.T, change func(*api.Options), options ...servicetest.Option) *env {
	t.Helper()
	e := &env{Env: servicetest.New(t, options...), t: t, log: &lockedBuffer{}}
	o := api.Options{Service: e.Service, Store: e.Store, Version: "1.2.3", Registry: prometheus.NewRegistry(),
		Log: slog.New(slog.NewJSONHandler(e.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	change(&o)
	handler, err := api.New(o)
	require.NoError(t, err)
	e.handler = handler
	e.key = e.Tenant("acme")
	e.EventTypes("order.created", "order.paid")
	return e
}

// in returns the same installation for a subtest.
func (e *env) in(t *testing.T) *env {
	t.Helper()
	sub := *e
	sub.t = t
	return &sub
}

// request is one call of the API. Zero values mean the usual.
type request struct {
	method, path, body string
	key                string            // "" = the tenant's; "-" = none
	header             map[string]string // on top
}

// answer is the answer to a call.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// call makes a request "METHOD /path" with the key of the tenant acme.
func (e *env) call(route, body string) answer {
	e.t.Helper()
	method, path, _ := strings.Cut(route, " ")
	return e.do(request{method: method, path: path, body: body})
}

// asAdmin makes a request with the admin key.
func (e *env) asAdmin(route, body string) answer {
	e.t.Helper()
	method, path, _ := strings.Cut(route, " ")
	return e.do(request{method: method, path: path, body: body, key: servicetest.AdminKey})
}

// do makes the request and checks the answer against the OpenAPI document.
func (e *env) do(r request) answer {
	e.t.Helper()
	a := e.answer(r)
	path, _, _ := strings.Cut(r.path, "?")
	a.fitsDocument(r.method, strings.TrimSuffix(path, "/"))
	return a
}

// answer makes the request.
func (e *env) answer(r request) answer {
	e.t.Helper()
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req := httptest.NewRequestWithContext(e.t.Context(), r.method, r.path, body)
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	switch r.key {
	case "":
		req.Header.Set("Authorization", "Bearer "+e.key)
	case "-":
	default:
		req.Header.Set("Authorization", "Bearer "+r.key)
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	recorder := httptest.NewRecorder()
	e.handler.ServeHTTP(recorder, req)
	return answer{t: e.t, status: recorder.Code, header: recorder.Header(), body: recorder.Body.String()}
}

// is asserts the status and returns the answer.
func (a answer) is(status int) answer {
	a.t.Helper()
	require.Equal(a.t, status, a.status, "%s", a.body)
	return a
}

// json decodes the answer.
func (a answer) json() map[string]any {
	a.t.Helper()
	var v map[string]any
	require.NoError(a.t, json.Unmarshal([]byte(a.body), &v), "%s", a.body)
	return v
}

// text returns a member of the answer that is a string.
func (a answer) text(name string) string {
	a.t.Helper()
	text, ok := a.json()[name].(string)
	require.True(a.t, ok, "%s in %s", name, a.body)
	return text
}

// data returns the entries of a list.
func (a answer) data() []map[string]any {
	a.t.Helper()
	rows, ok := a.json()["data"].([]any)
	require.True(a.t, ok, "%s", a.body)
	out := make([]map[string]any, len(rows))
	for i, row := range rows {
		out[i], _ = row.(map[string]any)
	}
	return out
}

// fields returns the names of a problem's fields.
func (a answer) fields() []string {
	a.t.Helper()
	problems, _ := a.json()["errors"].([]any)
	var names []string
	for _, p := range problems {
		entry, _ := p.(map[string]any)
		name, _ := entry["field"].(string)
		message, _ := entry["message"].(string)
		require.NotEmpty(a.t, message, "%s", a.body)
		names = append(names, name)
	}
	return names
}

// document is the OpenAPI document, and its schemas compiled.
type document struct {
	raw     map[string]any
	schemas *jsonschema.Compiler
	mu      sync.Mutex
}

// theDocument is read once, because it is the same for every env.
var theDocument = sync.OnceValue(func() *document {
	handler, err := api.New(api.Options{Version: "1.2.3"})
	if err != nil {
		panic(err)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	value, err := jsonschema.UnmarshalJSON(recorder.Body)
	if err != nil {
		panic(err)
	}
	d := &document{schemas: jsonschema.NewCompiler()}
	d.schemas.DefaultDraft(jsonschema.Draft2020)
	d.schemas.AssertFormat()
	if err := d.schemas.AddResource("openapi.json", value); err != nil {
		panic(err)
	}
	d.raw, _ = value.(map[string]any)
	return d
})

// schema compiles the schema at a JSON pointer of the document.
func (d *document) schema(t *testing.T, pointer string) *jsonschema.Schema {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	schema, err := d.schemas.Compile("openapi.json#" + pointer)
	require.NoError(t, err)
	return schema
}

var parameter = regexp.MustCompile(`\{[a-z]+\}`)

// operation finds the path of the document for a request; "" if there is none.
func (d *document) operation(method, path string) string {
	paths, _ := d.raw["paths"].(map[string]any)
	found := ""
	for template, item := range paths {
		operations, _ := item.(map[string]any)
		pattern := "^" + parameter.ReplaceAllString(template, `[^/]+`) + "$"
		// /events/batch is a separate operation, and not the event "batch".
		if operations[strings.ToLower(method)] != nil && regexp.MustCompile(pattern).MatchString(path) &&
			(found == "" || strings.Count(template, "{") < strings.Count(found, "{")) {
			found = template
		}
	}
	return found
}

// fitsDocument asserts that the OpenAPI document describes an answer: its status, its type and every member of its
// body.
func (a answer) fitsDocument(method, path string) {
	a.t.Helper()
	contentType := a.header.Get("Content-Type")
	if a.status >= 400 {
		require.Equal(a.t, "application/problem+json", contentType)
		a.fits("/components/schemas/Problem")
		require.InDelta(a.t, a.status, a.json()["status"], 0)
		a.refusalIsDocumented(method, path)
		return
	}
	template := theDocument().operation(method, path)
	if template == "" {
		return
	}
	pointer := "/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(template) + "/" + strings.ToLower(method) + "/responses/" + strconv.Itoa(a.status)
	response := theDocument().at(pointer)
	require.NotNil(a.t, response, "%s %s is not documented to answer %d", method, template, a.status)
	if response["content"] == nil {
		require.Empty(a.t, a.body)
		return
	}
	require.Equal(a.t, "application/json", contentType)
	a.fits(pointer + "/content/application~1json/schema")
}

// refusalIsDocumented asserts that the document lists an operation's refusals. A status that no operation lists can
// come from every path, such as 405.
func (a answer) refusalIsDocumented(method, path string) {
	a.t.Helper()
	op := theDocument().at("/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(theDocument().operation(method, path)) + "/" + strings.ToLower(method))
	switch a.status {
	case 400, 401, 403, 404, 408, 409, 413, 415, 422, 429:
		if op != nil {
			require.NotNil(a.t, theDocument().response(op, strconv.Itoa(a.status)), "%s %s is not documented to answer %d: %s", method, path, a.status, a.body)
		}
	}
}

func (a answer) fits(pointer string) {
	a.t.Helper()
	if a.body == "" { // HEAD
		return
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(a.body))
	require.NoError(a.t, err, "%s", a.body)
	require.NoError(a.t, theDocument().schema(a.t, pointer).Validate(value), "%s", a.body)
}

// at returns the object at a JSON pointer of the document; nil if there is none.
func (d *document) at(pointer string) map[string]any {
	at := d.raw
	for _, part := range strings.Split(pointer, "/")[1:] {
		at, _ = at[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)].(map[string]any)
	}
	return at
}

// lockedBuffer takes a log from several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// rawMember returns the raw text of a member of a JSON object.
func rawMember(t *testing.T, body, name string) string {
	t.Helper()
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(body), &members))
	return string(members[name])
}
