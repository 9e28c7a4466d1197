package languageweaver_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/languageweaver"
	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

const (
	path     = "/languageweaver/api/v2/webhooks"
	formType = "application/x-www-form-urlencoded"
	// mediaType is the media type of deliveries.
	mediaType = "application/json"
	refused   = `{"error":{"code":400,"message":"x","details":"x"}}`
	object    = `{
"uuid": "febdcc87-3454-467c-82b3-cfee4c4524c0",
"url": "https://my-webhook-server:8443",
"description": "Webhook for translations",
"username": "jsmith@example.com",
"events": [
"translation.created",
"translation.statusChanged"
]
}`
)

func basic(key string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(key+":"))
}

func create(t *testing.T, b *systemstest.Bench, form string) string {
	t.Helper()
	w := b.Do(systemstest.Call{Method: http.MethodPost, Path: path, Authorization: basic(b.Key), Type: formType, Body: form})
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	return systemstest.Text(t, w, "uuid")
}

func form(address, events string) string {
	return url.Values{"url": {address}, "events": {events}}.Encode()
}

// TestLanguageWeaver_Document runs the document's curl commands as they are printed, except for the host, the key and the id, and
// compares whole answers.
func TestLanguageWeaver_Document(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, languageweaver.Mount)
	_, key, err := b.Service.CreateKey(t.Context(), systemstest.Tenant, "jsmith@example.com", models.RoleTenant)
	require.NoError(t, err)
	replace := []string{"https://controller-host:8001", "https://hooks.example/languageweaver", "u_jsmith@example.com_u0VmztKJrwqf", key}

	created := b.Curl(`curl "https://controller-host:8001/api/v2/webhooks" \
-X POST \
-u u_jsmith@example.com_u0VmztKJrwqf: \
--data-urlencode description="Webhook for translations" \
--data-urlencode events="translation.created,translation.statusChanged" \
--data-urlencode url="https://my-webhook-server:8443"`, replace...)
	systemstest.RequireJSON(t, 200, object, created, "uuid")
	uuid := systemstest.Text(t, created, "uuid")
	require.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, uuid)
	replace = append(replace, "febdcc87-3454-467c-82b3-cfee4c4524c0", uuid)

	systemstest.RequireJSON(t, 200, `{
"webhooks": [
`+object+`
],
"page": 1,
"perPage": 25,
"totalPages": 1,
"totalItems": 1
}`, b.Curl(`curl "https://controller-host:8001/api/v2/webhooks" \
-X GET \
-u u_jsmith@example.com_u0VmztKJrwqf:`, replace...), "uuid")

	systemstest.RequireJSON(t, 200, object, b.Curl(`curl "https://controller-host:8001/api/v2/webhooks/febdcc87-3454-467c-82b3-cfee4c4524c0" \
-X PUT \
-u u_jsmith@example.com_u0VmztKJrwqf: \
--data-urlencode description="Webhook for translations" \
--data-urlencode events="translation.created,translation.statusChanged" \
--data-urlencode url="https://my-webhook-server:8443"`, replace...), "uuid")

	systemstest.RequireJSON(t, 200, object, b.Curl(`curl "https://controller-host:8001/api/v2/webhooks/febdcc87-3454-467c-82b3-cfee4c4524c0" \
-X GET \
-u u_jsmith@example.com_u0VmztKJrwqf:`, replace...), "uuid")

	// The document's server does not exist; a receiver replaces it.
	receiver := systemstest.NewReceiver(t)
	systemstest.RequireJSON(t, 200, `{
"success": true
}`, b.Curl(`curl "https://controller-host:8001/api/v2/webhooks/test" \
-X PUT \
-u u_jsmith@example.com_u0VmztKJrwqf: \
-d event="translation.created" \
--data-urlencode url="https://my-webhook-server:8443"`, append(replace, "https://my-webhook-server:8443", receiver.URL)...))
	require.Len(t, receiver.Take(), 1)

	systemstest.RequireJSON(t, 200, object, b.Curl(`curl "https://controller-host:8001/api/v2/webhooks/febdcc87-3454-467c-82b3-cfee4c4524c0" \
-X DELETE \
-u u_jsmith@example.com_u0VmztKJrwqf:`, replace...), "uuid")
	systemstest.RequireJSON(t, 404, `{"error":{"code":404,"message":"Not Found","details":"there is no such webhook"}}`,
		b.Do(systemstest.Call{Method: http.MethodGet, Path: path + "/" + uuid, Authorization: "Bearer " + key}))
}

func TestLanguageWeaver_ListFiltersAndPages(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, languageweaver.Mount)
	for _, w := range []struct{ url, description, events string }{
		{"https://a.example/one", "first", "translation.created"},
		{"https://b.example/two", "second", "translation.created, translation.statusChanged"},
		{"https://b.example/three", "third", "adaptedlp.created"},
	} {
		create(t, b, form(w.url, w.events)+"&description="+w.description)
	}
	b.Webhook(systemstest.Tenant, "https://a.example/standard") // of another profile: not listed
	for query, want := range map[string][]string{
		"":                           {"first", "second", "third"},
		"url=b.example":              {"second", "third"},
		"url=/t&description=ir":      {"third"},
		"url=nowhere":                {},
		"events=translation.created": {"first", "second"},
		"events=translation.statusChanged,adaptedlp.created": {"second", "third"},
		"description=IR":      {"first", "third"},
		"url=B.EXAMPLE":       {"second", "third"},
		"url=&page=&perPage=": {"first", "second", "third"},
		"events[]=translation.created&events[]=adaptedlp.created": {"first", "second", "third"},
		"perPage=2":            {"first", "second"},
		"perPage=2&page=2":     {"third"},
		"perPage=2&page=3":     {},
		"description=&events=": {"first", "second", "third"},
	} {
		t.Run(query, func(t *testing.T) {
			w := b.Do(systemstest.Call{Method: http.MethodGet, Path: path + "?" + query, Authorization: basic(b.Key)})
			require.Equal(t, 200, w.Code)
			for _, description := range []string{"first", "second", "third"} {
				require.Equal(t, contains(want, description), strings.Contains(w.Body.String(), `"description":"`+description+`"`), description)
			}
		})
	}
	w := b.Do(systemstest.Call{Method: http.MethodGet, Path: path + "?perPage=2&page=3", Authorization: basic(b.Key)})
	systemstest.RequireJSON(t, 200, `{"webhooks":[],"page":3,"perPage":2,"totalPages":2,"totalItems":3}`, w)
	w = b.Do(systemstest.Call{Method: http.MethodGet, Path: path, Authorization: basic(b.OtherKey)})
	systemstest.RequireJSON(t, 200, `{"webhooks":[],"page":1,"perPage":25,"totalPages":0,"totalItems":0}`, w)
}

func contains(all []string, one string) bool {
	return strings.Contains(" "+strings.Join(all, " ")+" ", " "+one+" ")
}

func TestLanguageWeaver_TheTestCallPostsNow(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, languageweaver.Mount)
	receiver := systemstest.NewReceiver(t)
	test := func(body string) systemstest.Call {
		return systemstest.Call{Method: http.MethodPut, Path: path + "/test", Authorization: basic(b.Key), Type: formType, Body: body}
	}
	systemstest.RequireJSON(t, 200, `{"success":true}`, b.Do(test("url="+url.QueryEscape(receiver.URL))))
	got := receiver.Take()
	systemstest.RequireBytes(t, `{"event":"sampleEvent","message":"This is a test of your webhook."}`, got[0].Body)
	require.Empty(t, got[0].Header.Get("webhook-signature"))
	require.NotEmpty(t, got[0].Header.Get("webhook-id"))

	receiver.Answer(404)
	systemstest.RequireJSON(t, 200, `{"success":false}`, b.Do(test("url="+url.QueryEscape(receiver.URL))))
	receiver.Take()
	systemstest.RequireJSON(t, 200, `{"success":false}`, b.Do(test("url=https%3A%2F%2Fnowhere.example")))

	// A URL that a webhook is registered for is tested as that webhook, so that its receiver can verify.
	receiver.Answer(200)
	uuid := create(t, b, form(receiver.URL, "adaptedlp.created"))
	secret, err := b.Service.RotateSecret(t.Context(), systemstest.Tenant, "wh_"+uuid, 0, "", "test")
	require.NoError(t, err)
	systemstest.RequireJSON(t, 200, `{"success":true}`, b.Do(test("event=translation.created&url="+url.QueryEscape(receiver.URL))))
	got = receiver.Take()
	require.Contains(t, got[0].Body, `"event":"translation.created"`)
	verify(t, secret, got[0])
}

func verify(t *testing.T, secret string, got systemstest.Received) {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	require.NoError(t, verifier.Verify([]byte(got.Body), got.Header))
}

// TestLanguageWeaver_Receiver verifies deliveries as a receiver of Standard Webhooks does, with the secret from /v1.
func TestLanguageWeaver_Receiver(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, languageweaver.Mount)
	receiver := systemstest.NewReceiver(t)
	uuid := create(t, b, form(receiver.URL, "translation.statusChanged"))
	secret, err := b.Service.RotateSecret(t.Context(), systemstest.Tenant, "wh_"+uuid, 0, "", "test")
	require.NoError(t, err)
	b.Deliver(systemstest.Tenant, "translation.statusChanged", `{"translationId":"t-1","status":"DONE"}`)
	got := receiver.Take()
	systemstest.RequireBytes(t, `{"event":"translation.statusChanged","translationId":"t-1","status":"DONE"}`, got[0].Body)
	require.Equal(t, mediaType, got[0].Header.Get("Content-Type"))
	verify(t, secret, got[0])
}

// TestLanguageWeaver_CrossView follows one webhook through both APIs.
func TestLanguageWeaver_CrossView(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, languageweaver.Mount)
	uuid := create(t, b, form("https://my-webhook-server:8443", "translation.created"))
	w := b.Webhooks(systemstest.Tenant)[0]
	require.Equal(t, "wh_"+uuid, w.ID)
	require.Equal(t, "languageweaver", w.Profile)
	require.Equal(t, []string{"translation.created"}, w.EventTypes)

	require.NoError(t, b.Service.Gone(t.Context(), &w))
	held := b.Publish(systemstest.Tenant, "translation.created", `{}`)
	require.Equal(t, models.Held, b.Deliveries(systemstest.Tenant, held)[0].Status)
	put := systemstest.Call{Method: http.MethodPut, Path: path + "/" + uuid, Authorization: basic(b.Key), Body: form("https://my-webhook-server:8443", "adaptedlp.created")}
	require.Equal(t, 200, b.Do(put).Code)
	w = b.Webhooks(systemstest.Tenant)[0]
	require.Equal(t, models.WebhookDeactivated, w.Status, "this API knows no status: only /v1 enables")
	require.Equal(t, []string{"adaptedlp.created"}, w.EventTypes)
	_, err := b.Service.Enable(t.Context(), systemstest.Tenant, w.ID, "test")
	require.NoError(t, err)
	_, err = b.Service.Recover(t.Context(), systemstest.Tenant, w.ID, service.RecoveryRequest{})
	require.NoError(t, err)

	_, err = b.Service.UpdateWebhook(t.Context(), systemstest.Tenant, w.ID, service.WebhookChange{EventTypes: &[]string{}})
	require.NoError(t, err)
	systemstest.RequireJSON(t, 200, `{"uuid":"x","url":"https://my-webhook-server:8443","description":"","username":"tenant","events":[
		"translation.created","translation.statusChanged","adaptedlp.created","adaptedlp.statusChanged"]}`,
		b.Do(systemstest.Call{Method: http.MethodGet, Path: path + "/" + uuid, Authorization: basic(b.Key)}), "uuid")
}

func TestLanguageWeaver_WebhooksOfOthersAndOfOtherProfilesAreNotSeen(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, languageweaver.Mount)
	uuid := create(t, b, form("https://my-webhook-server:8443", "translation.created"))
	standard := b.Webhook(systemstest.Tenant, "https://receiver.example/")
	for _, c := range []systemstest.Call{{Method: "GET"}, {Method: "PUT", Body: form("https://a.example", "translation.created")}, {Method: "DELETE"}} {
		c.Path, c.Authorization = path+"/"+uuid, basic(b.OtherKey)
		require.Equal(t, 404, b.Do(c).Code)
		c.Path, c.Authorization = path+"/"+standard.ID, basic(b.Key)
		require.Equal(t, 404, b.Do(c).Code)
	}
	require.Len(t, b.Webhooks(systemstest.Tenant), 2)
}

func TestLanguageWeaver_Access(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, languageweaver.Mount)
	good := form("https://my-webhook-server:8443", "translation.created")
	one := path + "/" + create(t, b, good)
	calls := []systemstest.Call{
		{Method: "GET", Path: path},
		{Method: "POST", Path: path, Body: good},
		{Method: "PUT", Path: path + "/test", Body: "url=https://a.example"},
		{Method: "GET", Path: one},
		{Method: "PUT", Path: one, Body: good},
		{Method: "DELETE", Path: one},
	}
	for _, authorization := range []func(string) string{basic, func(key string) string { return "Bearer " + key }} {
		systemstest.RequireAccess(t, b, systemstest.Access{Calls: calls, Authorization: authorization, Refused: refused})
	}
	password := "Basic " + base64.StdEncoding.EncodeToString([]byte(b.Key+":password"))
	w := b.Do(systemstest.Call{Method: "GET", Path: path, Authorization: password})
	require.Equal(t, 200, w.Code, "the key decides, whatever the password is")
	password = "Basic " + base64.StdEncoding.EncodeToString([]byte("nobody:"+b.Key))
	w = b.Do(systemstest.Call{Method: "GET", Path: path, Authorization: password})
	require.Equal(t, 401, w.Code)
	require.Contains(t, w.Header().Get("WWW-Authenticate"), "Basic realm=")
}

func TestLanguageWeaver_BadInput(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, languageweaver.Mount, servicetest.Strict)
	one := path + "/" + create(t, b, form("https://my-webhook-server:8443", "translation.created"))
	invalid := func(details string) string {
		return `{"error":{"code":400,"message":"Bad Request","details":"` + details + `"}}`
	}
	var inputs []systemstest.BadInput
	for _, c := range []systemstest.Call{{Method: "POST", Path: path}, {Method: "PUT", Path: one}} {
		for _, in := range []struct{ name, body, want string }{
			{"no body", "", invalid("url is required; events is required")},
			{"no url", "events=translation.created", invalid("url is required")},
			{"no events", "url=https://a.example", invalid("events is required")},
			{"empty events", form("https://a.example", " , "), invalid("events must name at least one event")},
			{"unknown event", form("https://a.example", "translation.created,translation.lost"),
				invalid("events must be of translation.created, translation.statusChanged, adaptedlp.created, adaptedlp.statusChanged")},
			{"event of the test call", form("https://a.example", "sampleEvent"), ""},
			{"empty url", form("", "translation.created"), ""},
			{"http", form("http://a.example", "translation.created"), invalid("url destination not allowed: the URL must be https")},
			{"loopback", form("https://127.0.0.1", "translation.created"), ""},
			{"description too long", form("https://a.example", "translation.created") + "&description=" + strings.Repeat("d", 2001), ""},
			{"description not UTF-8", form("https://a.example", "translation.created") + "&description=%ff", ""},
			{"description with NUL", form("https://a.example", "translation.created") + "&description=%00", ""},
			{"unknown name", form("https://a.example", "translation.created") + "&colour=red", invalid("colour is not known")},
			{"malformed form", "url=%zz", invalid("body must be a JSON object or form-encoded")},
			{"JSON that is none", `{"url":"https://a.example","events":["translation.created"]`, invalid("body must be a JSON object")},
		} {
			c.Type, c.Body = formType, in.body
			inputs = append(inputs, systemstest.BadInput{Name: c.Method + " " + in.name, Call: c, Status: 400, Want: in.want})
		}
	}
	for _, body := range []string{"", "event=translation.created", "url=", "url=nowhere", "url=https://10.0.0.1", "url=https://a.example&event=lost",
		"url=https://a.example&colour=red", "url=%zz", "url=https://a.example/%00"} {
		inputs = append(inputs, systemstest.BadInput{Name: "test " + body, Status: 400,
			Call: systemstest.Call{Method: "PUT", Path: path + "/test", Type: formType, Body: body}})
	}
	for _, query := range []string{"page=0", "page=x", "page=-1", "page=99999999999999999999", "perPage=0", "perPage=1001", "perPage=1.5",
		"events=lost", "events=translation.created,lost"} {
		inputs = append(inputs, systemstest.BadInput{Name: "list " + query, Status: 400, Call: systemstest.Call{Method: "GET", Path: path + "?" + query}})
	}
	for _, id := range []string{"febdcc87-3454-467c-82b3-cfee4c4524c0", "1", "%00", "%ff", "wh_", "test"} {
		inputs = append(inputs, systemstest.BadInput{Name: "webhook " + id, Status: 404, Call: systemstest.Call{Method: "GET", Path: path + "/" + id}})
	}
	systemstest.RequireRefused(t, b, refused, basic(b.Key), inputs)
}

// TestLanguageWeaver_OtherBodies: JSON, multipart forms and the query work too, and a refusal does not repeat the input.
func TestLanguageWeaver_OtherBodies(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, languageweaver.Mount)
	for _, c := range []systemstest.Call{
		{Type: mediaType, Body: `{"url":"https://a.example","events":["translation.statusChanged","translation.created"],"description":"d"}`},
		{Type: formType, Body: `{"url":"https://a.example","events":"translation.statusChanged, translation.created","description":"d"}`},
		{Type: "multipart/form-data; boundary=x", Body: "--x\r\nContent-Disposition: form-data; name=\"url\"\r\n\r\nhttps://a.example\r\n" +
			"--x\r\nContent-Disposition: form-data; name=\"events\"\r\n\r\ntranslation.statusChanged,translation.created\r\n" +
			"--x\r\nContent-Disposition: form-data; name=\"description\"\r\n\r\nd\r\n--x--\r\n"},
		{Path: "?url=https://a.example&events=translation.statusChanged,translation.created&description=d"},
	} {
		c.Method, c.Path, c.Authorization = http.MethodPost, path+c.Path, basic(b.Key)
		systemstest.RequireJSON(t, 200, `{"uuid":"x","url":"https://a.example","description":"d","username":"tenant",
			"events":["translation.statusChanged","translation.created"]}`, b.Do(c), "uuid")
	}
	secret := systemstest.Call{Method: http.MethodPost, Path: path, Authorization: basic(b.Key), Type: mediaType, Body: `{"url":"secret-of-mine`}
	w := b.Do(secret)
	require.Equal(t, 400, w.Code)
	require.NotContains(t, w.Body.String(), "secret-of-mine")
}
