package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/internal/servicetest"
)

var documentFile = flag.String("document", "", "a file to write the OpenAPI document into; make lint-extra does")

// operations returns the operations of the document as "METHOD /path".
func (d *document) operations() map[string]map[string]any {
	all := map[string]map[string]any{}
	paths, _ := d.raw["paths"].(map[string]any)
	for path, item := range paths {
		operations, _ := item.(map[string]any)
		for method, op := range operations {
			all[strings.ToUpper(method)+" "+path], _ = op.(map[string]any)
		}
	}
	return all
}

func TestOpenAPI_DocumentListsTheContractAndNothingElse(t *testing.T) {
	t.Parallel()
	documented := theDocument().operations()
	for _, r := range contract {
		op := documented[r.route]
		require.NotNil(t, op, r.route)
		roles := []any{"admin"}
		for role := range strings.FieldsSeq(r.roles) {
			roles = append(roles, role)
		}
		require.Equal(t, roles, op["x-roles"], r.route)
		require.NotEmpty(t, op["security"], r.route)
		delete(documented, r.route)
	}
	for _, probe := range []string{"GET /healthz", "GET /readyz"} {
		require.Contains(t, documented, probe)
		delete(documented, probe)
	}
	require.Empty(t, documented)
}

func TestOpenAPI_DocumentIsWhole(t *testing.T) {
	t.Parallel()
	d := theDocument()
	if *documentFile != "" {
		text, err := json.Marshal(d.raw)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(*documentFile, text, 0o600))
	}
	require.Equal(t, "3.1.0", d.raw["openapi"])
	require.Equal(t, "1.2.3", d.at("/info")["version"])
	require.NotNil(t, d.at("/components/securitySchemes/key"))
	require.Equal(t, "Apache-2.0", d.at("/info/license")["identifier"])
	require.NotEmpty(t, d.at("/info/contact")["url"])
	schemas := d.at("/components/schemas")
	for name := range schemas {
		d.schema(t, "/components/schemas/"+name) // compiles: it is valid, and its references resolve
	}
	ids := map[any]string{}
	for route, op := range d.operations() {
		require.NotEmpty(t, op["summary"], route)
		require.NotEmpty(t, op["description"], route)
		require.Regexp(t, `^[a-z]+(-[a-z]+)*$`, op["operationId"], "a name that makes a clean name in every language")
		require.Empty(t, ids[op["operationId"]], "%s has the id of %s", route, ids[op["operationId"]])
		ids[op["operationId"]] = route
		declared := map[string]bool{}
		parameters, _ := op["parameters"].([]any)
		for _, p := range parameters {
			parameter, _ := p.(map[string]any)
			if parameter["in"] == "path" {
				require.Equal(t, true, parameter["required"], route)
				declared["{"+parameter["name"].(string)+"}"] = true
			}
		}
		for _, name := range regexp.MustCompile(`\{[a-z]+\}`).FindAllString(route, -1) {
			require.True(t, declared[name], "%s declares %s", route, name)
			delete(declared, name)
		}
		require.Empty(t, declared, route)
		responses, _ := op["responses"].(map[string]any)
		require.Contains(t, responses, "default", route)
		for status := range responses {
			require.NotEmpty(t, d.response(op, status)["description"], "%s %s", route, status)
		}
	}
	text, err := json.Marshal(d.raw)
	require.NoError(t, err)
	for _, ref := range regexp.MustCompile(`"\$ref":"#([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
		require.NotNil(t, d.at(ref[1]), ref[1])
	}
}

// response returns an operation's answer with a status, nil if it has none.
func (d *document) response(op map[string]any, status string) map[string]any {
	responses, _ := op["responses"].(map[string]any)
	response, _ := responses[status].(map[string]any)
	if ref, ok := response["$ref"].(string); ok {
		return d.at(strings.TrimPrefix(ref, "#"))
	}
	return response
}

// Every operation documents its refusals, in the one shape of problems. env.do checks the answers of all tests against
// it.
func TestOpenAPI_DocumentSaysHowEveryOperationRefuses(t *testing.T) {
	t.Parallel()
	d := theDocument()
	for route, op := range d.operations() {
		method, path, _ := strings.Cut(route, " ")
		want := []string{"400", "403", "default"}
		if strings.HasPrefix(path, "/v1/") {
			want = append(want, "401", "422", "429")
			if strings.Contains(path, "{") {
				want = append(want, "404")
			}
			if method != http.MethodGet {
				want = append(want, "409")
			}
			if op["requestBody"] != nil {
				want = append(want, "408", "413", "415")
			}
		}
		var refusals []string
		responses, _ := op["responses"].(map[string]any)
		for status := range responses {
			if status[0] == '4' || status == "default" {
				refusals = append(refusals, status)
				content, _ := d.response(op, status)["content"].(map[string]any)
				problem, _ := content["application/problem+json"].(map[string]any)
				require.Equal(t, map[string]any{"$ref": "#/components/schemas/Problem"}, problem["schema"], "%s %s", route, status)
			}
		}
		require.ElementsMatch(t, want, refusals, route)
	}
}

func TestOpenAPI_EveryOperationHasOneTagThatTheDocumentDescribes(t *testing.T) {
	t.Parallel()
	d := theDocument()
	used := map[any]bool{}
	tags, _ := d.raw["tags"].([]any)
	for _, tag := range tags {
		described, _ := tag.(map[string]any)
		require.NotEmpty(t, described["description"], described["name"])
		used[described["name"]] = false
	}
	webhooks, _ := d.raw["webhooks"].(map[string]any)
	operations := d.operations()
	for name, item := range webhooks {
		described, _ := item.(map[string]any)
		operations["receive "+name], _ = described["post"].(map[string]any)
	}
	for route, op := range operations {
		tags, _ := op["tags"].([]any)
		require.Len(t, tags, 1, route)
		require.Contains(t, used, tags[0], route)
		used[tags[0]] = true
	}
	for tag, is := range used {
		require.True(t, is, "%s has operations", tag)
	}
}

// The document describes deliveries as they are sent.
func TestOpenAPI_DocumentHasWhatReceiversGet(t *testing.T) {
	t.Parallel()
	d := theDocument()
	for _, name := range []string{"event", "webhook.deactivated", "webhook.warning", "webhook.updated", "webhook.delivery.failing"} {
		pointer := "/webhooks/" + name + "/post"
		op := d.at(pointer)
		require.NotNil(t, op, name)
		require.Regexp(t, `^receive(-[a-z]+)+$`, op["operationId"])
		require.NotEmpty(t, d.response(op, "410")["description"])
		content := d.at(pointer + "/requestBody/content/application~1json")
		schema := d.schema(t, pointer+"/requestBody/content/application~1json/schema")
		require.NoError(t, schema.Validate(content["example"]), name)
		require.Error(t, schema.Validate(map[string]any{"type": name, "data": map[string]any{}}), "%s: the timestamp is missing", name)
		if name != "event" {
			require.Error(t, schema.Validate(map[string]any{"type": name, "timestamp": "2026-01-02T15:04:05.678Z", "data": map[string]any{}}), name)
			require.Error(t, schema.Validate(map[string]any{"type": "order.created", "timestamp": "2026-01-02T15:04:05.678Z", "data": content["example"].(map[string]any)["data"]}), name)
		}
	}
}

// Every example in the document is valid: of parameters, fields and whole bodies.
func TestOpenAPI_ExamplesAreValid(t *testing.T) {
	t.Parallel()
	d := theDocument()
	seen := 0
	var walk func(pointer string, value any)
	walk = func(pointer string, value any) {
		object, ok := value.(map[string]any)
		if list, isList := value.([]any); isList {
			for i, item := range list {
				walk(pointer+"/"+strconv.Itoa(i), item)
			}
		}
		if !ok {
			return
		}
		if _, isProperties := object["properties"]; isProperties || object["type"] != nil || object["anyOf"] != nil {
			if examples, ok := object["examples"].([]any); ok {
				for _, example := range examples {
					seen++
					require.NoError(t, d.schema(t, pointer).Validate(example), pointer)
				}
			}
		}
		if example, ok := object["example"]; ok && object["schema"] != nil {
			seen++
			require.NoError(t, d.schema(t, pointer+"/schema").Validate(example), pointer)
		}
		for name, member := range object {
			if name == "example" || name == "examples" {
				continue
			}
			walk(pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), member)
		}
	}
	walk("", d.raw)
	require.Greater(t, seen, 100)
}

// TestOpenAPI_RequestsFitTheDocument: the document describes every request that the tests send and the API accepts.
func TestOpenAPI_RequestsFitTheDocument(t *testing.T) {
	t.Parallel()
	for _, r := range contract {
		if r.body == "" {
			continue
		}
		method, path, _ := strings.Cut(r.route, " ")
		pointer := "/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + strings.ToLower(method) + "/requestBody/content/application~1json/schema"
		var body any
		require.NoError(t, json.Unmarshal([]byte(r.body), &body))
		require.NoError(t, theDocument().schema(t, pointer).Validate(body), r.route)
		body.(map[string]any)["colour"] = "red"
		require.Error(t, theDocument().schema(t, pointer).Validate(body), r.route)
	}
}

// TestOpenAPI_ExamplesAreAccepted: the document's example requests can be sent unchanged.
func TestOpenAPI_ExamplesAreAccepted(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, r := range contract {
		ids := map[string]string{"webhooks": e.webhook("https://shop.example/hooks")}
		method, path, _ := strings.Cut(r.route, " ")
		pointer := "/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + strings.ToLower(method) + "/requestBody/content/application~1json"
		content := theDocument().at(pointer)
		if content == nil || strings.Contains(path, "{id}") && !strings.Contains(path, "/webhooks/") {
			continue
		}
		body, err := json.Marshal(content["example"])
		require.NoError(t, err)
		r.body = string(body)
		answer := e.do(r.request("acme", ids, servicetest.AdminKey))
		require.Less(t, answer.status, 300, "%s %s: %s", r.route, r.body, answer.body)
	}
}

func TestOpenAPI_DocumentsNeedNoKeyAndNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	get := func(path string) *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		e.handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		require.Equal(t, http.StatusOK, recorder.Code, path)
		return recorder
	}
	require.Contains(t, get("/openapi.json").Header().Get("Content-Type"), "application/vnd.oai.openapi+json")

	page := get("/docs")
	html := page.Body.String()
	require.Contains(t, page.Header().Get("Content-Type"), "text/html")
	require.NotRegexp(t, `(?i)<script|<link|<img|<iframe|@import|url\(|\son[a-z]+=|\sstyle=`, html)
	require.NotRegexp(t, `(href|src)="(https?:)?//`, html)
	for route, op := range theDocument().operations() {
		_, path, _ := strings.Cut(route, " ")
		require.Contains(t, html, "<code>"+path+"</code>")
		require.Contains(t, html, `id="`+op["operationId"].(string)+`"`)
		require.Contains(t, html, `href="#`+op["operationId"].(string)+`"`)
	}
	require.Contains(t, html, "https://shop.example/hooks")
	require.NotContains(t, html, "ZgotmplZ", "what html/template puts in place of what it does not trust")

	// The policy allows the page's own style and nothing else.
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(html)
	require.NotNil(t, style)
	sum := sha256.Sum256([]byte(style[1]))
	policy := page.Header().Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.Contains(t, policy, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
}

func TestOpenAPI_PublicURLIsTheServer(t *testing.T) {
	t.Parallel()
	e := newEnvWith(t, func(o *api.Options) { o.PublicURL = "https://hooks.example" })
	recorder := httptest.NewRecorder()
	e.handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/openapi.json", nil))
	require.Contains(t, recorder.Body.String(), `"servers":[{"url":"https://hooks.example"}]`)
	created := e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/"}`).is(http.StatusCreated)
	require.Equal(t, "https://hooks.example/v1/tenants/acme/webhooks/"+created.text("id"), created.header.Get("Location"))
}
