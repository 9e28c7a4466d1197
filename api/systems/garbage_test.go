package systems_test

import (
	"encoding/json"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/models"
)

// valid has a good value for each field of any operation, as JSON.
var valid = map[string]map[string]string{
	"im4":            {"webhook_url": `"https://a.example/im4"`},
	"phrase":         {"url": `"https://a.example/p"`, "events": `["JOB_CREATED"]`, "event": `"JOB_CREATED"`, "webhookCalls": `[{"uid":"x"}]`},
	"languageweaver": {"url": `"https://a.example/l"`, "events": `["translation.created"]`},
	"ewarehousing":   {"url": `"https://a.example/e"`, "group": `"stock"`, "action": `"updated"`, "hash_secret": `"s"`},
	"up42":           {"url": `"https://a.example/u"`, "name": `"n"`, "events": `["order.status"]`},
}

// jsonGarbage has invalid JSON values for each kind of field.
var jsonGarbage = map[systems.Kind][]string{
	systems.Text:        {`true`, `[]`, `{}`, `"\u0000"`, "\"\xff\"", `"\ud800"`},
	systems.Flag:        {`5`, `1`, `"perhaps"`, `"true"`, `[]`, `{}`},
	systems.Switch:      {`5`, `1.0`, `"perhaps"`, `"\u0000"`, "\"\xff\"", `[]`, `{}`},
	systems.Number:      {`"x"`, `1.5`, `true`, `[]`, `1e400`},
	systems.Names:       {`5`, `true`, `{}`, `"JOB_CREATED"`, `[5]`, `[null]`, `[[]]`, `["\u0000"]`, "[\"\xff\"]", `["no.such"]`},
	systems.JoinedNames: {`5`, `true`, `{}`, `[5]`, `[null]`, `[[]]`, `["\u0000"]`, "[\"\xff\"]", `["no.such"]`, `"no.such"`},
	systems.Objects:     {`5`, `"x"`, `{}`, `[5]`, `[null]`, `[{}]`, `[{"uid":true}]`, `[{"uid":"x","uid":"x"}]`, `[{"UID":"x"}]`, `[{"uid":"x","a":1}]`},
	systems.Object:      {`5`, `"x"`, `[]`, `{"a":{}}`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}"},
}

// formGarbage has invalid form or query values for each kind of field, encoded.
var formGarbage = map[systems.Kind][]string{
	systems.Text:        {"%00", "%ff"},
	systems.Switch:      {"perhaps", "2", "%00", "%ff"},
	systems.Number:      {"x", "-5", "1.5", "99999999999999999999", "%00"},
	systems.Names:       {"%00", "%ff"},
	systems.JoinedNames: {"no.such", "%00", "%ff"},
}

// walk is one system with a webhook in it, and its operations.
type walk struct {
	*systemstest.Bench
	t       *testing.T
	s       *system
	api     *systems.API
	webhook models.Webhook
}

func newWalk(t *testing.T, s *system) *walk {
	t.Helper()
	var api *systems.API
	b := systemstest.New(t, func(r gin.IRouter, o systems.Options) {
		api = s.api(o)
		api.Mount(r)
	})
	w := &walk{Bench: b, t: t, s: s, api: api}
	made := w.do(http.MethodPost, strings.Replace(s.create, "TENANT", systemstest.Tenant, 1), "", s.body)
	require.Less(t, made.Code, 300, made.Body.String())
	w.webhook = b.Webhooks(systemstest.Tenant)[0]
	return w
}

// target returns an operation's path with its parameters filled in.
func (w *walk) target(o *systems.Operation) string {
	id := systems.ID(&w.webhook)
	return "/" + w.s.name + strings.NewReplacer(":workspace", systemstest.Tenant, ":uid", id, ":uuid", id, ":id", id).Replace(o.Path)
}

func (w *walk) do(method, target, contentType, body string) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.Do(systemstest.Call{Method: method, Path: target, Authorization: w.s.authorize(w.Key), Type: contentType, Body: body})
}

// state is everything that a call could change.
func (w *walk) state() []any {
	w.t.Helper()
	types, _, err := w.Service.EventTypes(w.t.Context(), systemstest.Tenant, models.Page{Limit: 1000})
	require.NoError(w.t, err)
	settings, err := w.Store.SystemSettings(w.t.Context(), systemstest.Tenant, w.s.name)
	return []any{w.Webhooks(systemstest.Tenant), w.Webhooks(systemstest.Other), types, settings, err, len(w.Engine.Dispatches())}
}

// requireRefused checks that an answer has the system's shape and names the fields. It returns the answer's messages.
func (w *walk) requireRefused(answer *httptest.ResponseRecorder, fields ...string) {
	w.t.Helper()
	want := http.StatusBadRequest
	if w.s.name == "im4" {
		want = http.StatusUnprocessableEntity
	}
	require.Equal(w.t, want, answer.Code, answer.Body.String())
	said := refusal(w.t, w.s.name, answer.Body.Bytes())
	for _, field := range fields {
		require.Contains(w.t, said, field)
	}
}

// refusal checks the shape of a refusal and returns its message for each field.
func refusal(t testing.TB, system string, body []byte) string {
	t.Helper()
	decode := func(v any) {
		decoder := json.NewDecoder(strings.NewReader(string(body)))
		decoder.DisallowUnknownFields()
		require.NoError(t, decoder.Decode(v), string(body))
	}
	said := ""
	switch system {
	case "im4":
		var r struct {
			Message string
			Errors  map[string][]string
		}
		decode(&r)
		require.NotEmpty(t, r.Message)
		for field, messages := range r.Errors {
			said += field + " " + strings.Join(messages, "; ") + "; "
		}
		if said == "" {
			said = r.Message
		}
	case "phrase":
		var r struct{ ErrorCode, ErrorDescription string }
		decode(&r)
		require.NotEmpty(t, r.ErrorCode)
		said = r.ErrorDescription
	case "languageweaver":
		var r struct {
			Error struct {
				Code             int
				Message, Details string
			}
		}
		decode(&r)
		require.NotZero(t, r.Error.Code)
		require.NotEmpty(t, r.Error.Message)
		said = r.Error.Details
	case "ewarehousing":
		var r struct {
			Code    int
			Message string
		}
		decode(&r)
		require.NotZero(t, r.Code)
		said = r.Message
	case "up42":
		var r struct {
			Data  any
			Error struct{ Code, Message string }
		}
		decode(&r)
		require.Nil(t, r.Data)
		require.NotEmpty(t, r.Error.Code)
		said = r.Error.Message
	}
	require.NotEmpty(t, said)
	return said
}

// object returns a JSON object with the operation's required fields and one more member, which comes last.
func (w *walk) object(o *systems.Operation, name, value string) string {
	var members []string
	for i := range o.Fields {
		if good := valid[w.s.name][o.Fields[i].Name]; good != "" && o.Fields[i].Name != name {
			members = append(members, `"`+o.Fields[i].Name+`":`+good)
		}
	}
	return "{" + strings.Join(append(members, `"`+name+`":`+value), ",") + "}"
}

// query returns a query with the operation's required parameters, without one name.
func (w *walk) query(o *systems.Operation, without string) []string {
	var pairs []string
	for i := range o.Query {
		if name := o.Query[i].Name; o.Query[i].Required && name != without {
			pairs = append(pairs, name+"="+url.QueryEscape(strings.Trim(valid[w.s.name][name], `"`)))
		}
	}
	return pairs
}

// garbageOf returns invalid values for a field.
func garbageOf(f *systems.Field, of map[systems.Kind][]string) []string {
	bad := slices.Clone(of[f.Kind])
	if len(f.OneOf) > 0 {
		bad = append(bad, strings.ToLower(`"no such"`))
	}
	return bad
}

// each runs do for every operation of every system.
func each(t *testing.T, do func(w *walk, o *systems.Operation)) {
	t.Helper()
	for i := range catalogued {
		t.Run(catalogued[i].name, func(t *testing.T) {
			t.Parallel()
			w := newWalk(t, &catalogued[i])
			before := w.state()
			operations := w.api.Operations()
			require.NotEmpty(t, operations)
			for k := range operations {
				do(w, &operations[k])
				require.Equal(t, before, w.state(), "%s %s: what is refused changes nothing", operations[k].Method, operations[k].Path)
			}
		})
	}
}

// TestSystemGarbage_InAnyFieldIsRefused walks every field of every operation: each wrong value, the field twice, its name in
// other letters, and a name that is not known, in the body and in the query.
func TestSystemGarbage_InAnyFieldIsRefused(t *testing.T) {
	t.Parallel()
	each(t, func(w *walk, o *systems.Operation) {
		target := w.target(o)
		for i := range o.Query {
			f := &o.Query[i]
			for _, bad := range garbageOf(f, formGarbage) {
				pairs := append(w.query(o, f.Name), f.Name+"="+strings.ReplaceAll(bad, " ", "+"))
				w.requireRefused(w.do(o.Method, target+"?"+strings.Join(pairs, "&"), "", ""), f.Name)
			}
			if f.Kind != systems.Names && f.Kind != systems.JoinedNames {
				w.requireRefused(w.do(o.Method, target+"?"+f.Name+"=1&"+f.Name+"=2", "", ""), f.Name)
			}
		}
		body := ""
		if o.Body == systems.JSON {
			body = w.object(o, "url", `"https://a.example/"`)
		}
		w.requireRefused(w.do(o.Method, target+"?"+strings.Join(append(w.query(o, ""), "colour=red"), "&"), "", body), "colour")
		w.requireRefused(w.do(o.Method, target+"?a=%zz", "", body), "query")
		if o.Body == systems.NoBody {
			return
		}
		for i := range o.Fields {
			f := &o.Fields[i]
			for _, bad := range garbageOf(f, jsonGarbage) {
				if f.ReadOnly && strings.Contains(bad, "no.such") {
					continue
				}
				w.requireRefused(w.do(o.Method, target, "application/json", w.object(o, f.Name, bad)), f.Name)
			}
			twice := w.object(o, f.Name, `null,"`+f.Name+`":null`)
			w.requireRefused(w.do(o.Method, target, "application/json", twice), f.Name+" is given twice")
			w.requireRefused(w.do(o.Method, target, "", w.object(o, strings.ToUpper(f.Name), `null`)), strings.ToUpper(f.Name)+" is not known")
		}
		for _, bad := range []string{"{", "[]", `{"a":1}{}`, "{\"\xff\":1}", `{"colour":"red"}`} {
			w.requireRefused(w.do(o.Method, target, "application/json", bad))
		}
		for _, encoding := range []string{"gzip", "br"} {
			r := httptest.NewRequestWithContext(w.t.Context(), o.Method, target, strings.NewReader("{}"))
			r.Header.Set("Authorization", w.s.authorize(w.Key))
			r.Header.Set("Content-Encoding", encoding)
			answer := httptest.NewRecorder()
			w.Handler.ServeHTTP(answer, r)
			require.Equal(w.t, http.StatusUnsupportedMediaType, answer.Code)
			refusal(w.t, w.s.name, answer.Body.Bytes())
		}
	})
}

// TestSystemGarbage_InFormsIsRefused is the same for what may be sent as a form: of either kind, or in the query.
func TestSystemGarbage_InFormsIsRefused(t *testing.T) {
	t.Parallel()
	each(t, func(w *walk, o *systems.Operation) {
		if o.Body != systems.Parameters {
			return
		}
		target := w.target(o)
		refused := func(values url.Values, field string) {
			w.requireRefused(w.do(o.Method, target, "application/x-www-form-urlencoded", values.Encode()), field)
			w.requireRefused(w.do(o.Method, target+"?"+values.Encode(), "", ""), field)
			body, contentType := multipartForm(w.t, values, "")
			w.requireRefused(w.do(o.Method, target, contentType, body), field)
		}
		good := func(without string) url.Values {
			values := url.Values{}
			for i := range o.Fields {
				if name := o.Fields[i].Name; valid[w.s.name][name] != "" && name != without {
					values.Set(name, strings.Trim(valid[w.s.name][name], `"[]`))
				}
			}
			return values
		}
		for i := range o.Fields {
			f := &o.Fields[i]
			for _, bad := range garbageOf(f, formGarbage) {
				values := good(f.Name)
				text, err := url.QueryUnescape(bad)
				require.NoError(w.t, err)
				values.Set(f.Name, text)
				refused(values, f.Name)
			}
			if f.Kind != systems.JoinedNames {
				values := good(f.Name)
				values[f.Name] = []string{"1", "2"}
				refused(values, f.Name)
			}
			values := good("")
			values.Set(strings.ToUpper(f.Name), "1")
			refused(values, strings.ToUpper(f.Name))
			body, contentType := multipartForm(w.t, good(f.Name), f.Name)
			w.requireRefused(w.do(o.Method, target, contentType, body), f.Name+" must not be a file")
			values = good(f.Name)
			values.Set(f.Name, "x")
			w.requireRefused(w.do(o.Method, target+"?"+f.Name+"=x", "application/x-www-form-urlencoded", values.Encode()), f.Name)
		}
		for _, bad := range []string{"url=%zz", "a;b"} {
			w.requireRefused(w.do(o.Method, target, "application/x-www-form-urlencoded", bad), "body")
		}
		w.requireRefused(w.do(o.Method, target, "multipart/form-data; boundary=x", "--x\r\n"), "body")
		w.requireRefused(w.do(o.Method, target, "multipart/form-data", "--x--"), "body")
	})
}

// multipartForm encodes values, and a file of a name if it has one.
func multipartForm(t *testing.T, values url.Values, file string) (body, contentType string) {
	t.Helper()
	var b strings.Builder
	form := multipart.NewWriter(&b)
	for name := range values {
		for _, value := range values[name] {
			require.NoError(t, form.WriteField(name, value))
		}
	}
	if file != "" {
		part, err := form.CreateFormFile(file, "x.txt")
		require.NoError(t, err)
		_, err = part.Write([]byte("x"))
		require.NoError(t, err)
	}
	require.NoError(t, form.Close())
	return b.String(), form.FormDataContentType()
}

// TestSystemGarbage_AllWrongFieldsAreNamedAtOnce sends each operation a wrong value in every field at once.
func TestSystemGarbage_AllWrongFieldsAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(w *walk, o *systems.Operation) {
		names, pairs := []string{"colour"}, []string{"colour=red"}
		for i := range o.Query {
			names = append(names, o.Query[i].Name)
			pairs = append(pairs, o.Query[i].Name+"=%ff")
		}
		target := w.target(o) + "?" + strings.Join(pairs, "&")
		if o.Body == systems.NoBody {
			w.requireRefused(w.do(o.Method, target, "", ""), names...)
			return
		}
		members := []string{`"taste":1`}
		names = append(names, "taste")
		for i := range o.Fields {
			names = append(names, o.Fields[i].Name)
			members = append(members, `"`+o.Fields[i].Name+`":`+jsonGarbage[o.Fields[i].Kind][1])
		}
		w.requireRefused(w.do(o.Method, target, "application/json", "{"+strings.Join(members, ",")+"}"), names...)
	})
}

// Fields that the rules for webhooks refuse are named together with unreadable ones: here a URL with another field.
func TestSystemGarbage_TheRulesAreToldWithTheRest(t *testing.T) {
	t.Parallel()
	each(t, func(w *walk, o *systems.Operation) {
		name := "url"
		if w.s.name == "im4" {
			name = "webhook_url"
		}
		i := slices.IndexFunc(o.Fields, func(f systems.Field) bool { return f.Name == name })
		if i < 0 {
			return
		}
		bad := w.object(o, name, `"ftp://a.example/","colour":1`)
		w.requireRefused(w.do(o.Method, w.target(o), "application/json", bad), name+" ", "colour is not known")
	})
}

// TestSystemGarbage_SlashesAndHead: every path is found with a slash at its end and without one, and HEAD wherever GET is.
func TestSystemGarbage_SlashesAndHead(t *testing.T) {
	t.Parallel()
	each(t, func(w *walk, o *systems.Operation) {
		target := strings.TrimSuffix(w.target(o), "/")
		for _, path := range []string{target, target + "/"} {
			w.requireRefused(w.do(o.Method, path+"?colour=red", "", ""), "colour") // it has reached the operation
			if o.Method == http.MethodGet {
				got, head := w.do(http.MethodGet, path, "", ""), w.do(http.MethodHead, path, "", "")
				require.Equal(w.t, http.StatusOK, got.Code, path)
				require.Equal(w.t, got.Code, head.Code)
				require.Equal(w.t, got.Header(), head.Header())
			}
		}
	})
}
