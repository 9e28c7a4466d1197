package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/internal/hookstest"
)

// operations gives the operations of the document as "METHOD /path".
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

func TestDocumentListsTheContractAndNothingElse(t *testing.T) {
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

func TestDocumentIsWhole(t *testing.T) {
	t.Parallel()
	d := theDocument()
	require.Equal(t, "3.1.0", d.raw["openapi"])
	require.Equal(t, "1.2.3", d.at("/info")["version"])
	require.NotNil(t, d.at("/components/securitySchemes/key"))
	schemas := d.at("/components/schemas")
	for name := range schemas {
		d.schema(t, "/components/schemas/"+name) // compiles: it is valid, and what it refers to is there
	}
	ids := map[any]string{}
	for route, op := range d.operations() {
		require.NotEmpty(t, op["summary"], route)
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
		for status, response := range responses {
			description, _ := response.(map[string]any)
			require.NotEmpty(t, description["description"], "%s %s", route, status)
		}
	}
	text, err := json.Marshal(d.raw)
	require.NoError(t, err)
	for _, ref := range regexp.MustCompile(`"\$ref":"#([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
		require.NotNil(t, d.at(ref[1]), ref[1])
	}
}

// TestRequestsFitTheDocument: what the tests send and the API accepts is what the document describes.
func TestRequestsFitTheDocument(t *testing.T) {
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

// TestExamplesAreAccepted: what the document shows as a request can be sent as it is.
func TestExamplesAreAccepted(t *testing.T) {
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
		answer := e.do(r.request("acme", ids, hookstest.AdminKey))
		require.Less(t, answer.status, 300, "%s %s: %s", r.route, r.body, answer.body)
	}
}

func TestDocumentsNeedNoKeyAndNothingFromElsewhere(t *testing.T) {
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

func TestPublicURLIsTheServer(t *testing.T) {
	t.Parallel()
	e := newEnvWith(t, func(o *api.Options) { o.PublicURL = "https://hooks.example" })
	recorder := httptest.NewRecorder()
	e.handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/openapi.json", nil))
	require.Contains(t, recorder.Body.String(), `"servers":[{"url":"https://hooks.example"}]`)
	created := e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/"}`).is(http.StatusCreated)
	require.Equal(t, "https://hooks.example/v1/tenants/acme/webhooks/"+created.text("id"), created.header.Get("Location"))
}
