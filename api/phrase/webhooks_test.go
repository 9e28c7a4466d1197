package phrase_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/phrase"
	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

const (
	path      = "/phrase/web/api2/v2/webhooks"
	mediaType = "application/json"
	refused   = `{"errorCode":"x","errorDescription":"x"}`
)

func apiToken(key string) string { return "ApiToken " + key }

func do(b *systemstest.Bench, method, path, body string) *httptest.ResponseRecorder {
	return b.Do(systemstest.Call{Method: method, Path: path, Authorization: apiToken(b.Key), Type: mediaType, Body: body})
}

func create(t *testing.T, b *systemstest.Bench, body string) string {
	t.Helper()
	w := do(b, http.MethodPost, path, body)
	require.Equal(t, http.StatusCreated, w.Code, w.Body.String())
	return systemstest.Text(t, w, "uid")
}

// sample is a whole CreateWebHookDto.
const sample = `{"url":"https://my.site.example/hook","events":["JOB_CREATED","JOB_STATUS_CHANGED"],"name":"My webhook",
	"secretToken":"token-1","secretTokenType":"PLAIN","hidden":true,"status":"ENABLED"}`

func object(name, url, events, token, tokenType, hidden, status string) string {
	user := `{"uid":"tenant","userName":"tenant"}`
	return `{"id":"x","uid":"x","name":` + name + `,"url":` + url + `,"events":` + events + `,"secretToken":` + token + `,"secretTokenType":` +
		tokenType + `,"hidden":` + hidden + `,"status":"` + status + `","failedAttempts":0,"created":"x","createdBy":` + user +
		`,"lastModified":"x","lastModifiedBy":` + user + `}`
}

var volatile = []string{"id", "uid", "created", "lastModified"}

func requireWebhook(t *testing.T, status int, want string, w *httptest.ResponseRecorder) {
	t.Helper()
	systemstest.RequireJSON(t, status, strings.ReplaceAll(want, `"uid":"tenant"`, `"uid":"x"`), w, volatile...)
	require.Contains(t, w.Body.String(), `"createdBy":{"uid":"tenant"`)
}

// TestPhraseWebhooks_Document makes the requests that the vendor's API documents and compares whole answers.
func TestPhraseWebhooks_Document(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, phrase.Mount)
	want := object(`"My webhook"`, `"https://my.site.example/hook"`, `["JOB_CREATED","JOB_STATUS_CHANGED"]`, `"token-1"`, `"PLAIN"`, "true", "ENABLED")

	made := do(b, "POST", path, sample)
	requireWebhook(t, 201, want, made)
	require.Regexp(t, `^[1-9]\d{14,15}$`, systemstest.Text(t, made, "id"))
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, systemstest.Text(t, made, "created"))
	one := path + "/" + systemstest.Text(t, made, "uid")
	requireWebhook(t, 200, want, do(b, "GET", one, ""))
	require.Equal(t, systemstest.Text(t, made, "id"), systemstest.Text(t, do(b, "GET", one, ""), "id"), "the number never changes")
	requireWebhook(t, 200, `{"totalElements":1,"totalPages":1,"pageSize":50,"pageNumber":0,"numberOfElements":1,"content":[`+want+`]}`,
		do(b, "GET", path, ""))

	// What was read can be sent back whole.
	requireWebhook(t, 200, want, do(b, "PUT", one, do(b, "GET", one, "").Body.String()))
	// Optional fields that are left out stay unchanged. An empty token means no token.
	changed := object(`"My webhook"`, `"https://my.site.example/other"`, `["ANALYSIS_CREATED"]`, `"token-1"`, `"PLAIN"`, "true", "ENABLED")
	requireWebhook(t, 200, changed, do(b, "PUT", one, `{"url":"https://my.site.example/other","events":["ANALYSIS_CREATED"]}`))
	changed = object(`"Other"`, `"https://my.site.example/other"`, `["ANALYSIS_CREATED"]`, `null`, `"PLAIN"`, "false", "DISABLED")
	requireWebhook(t, 200, changed, do(b, "PUT", one,
		`{"url":"https://my.site.example/other","events":["ANALYSIS_CREATED"],"name":"Other","secretToken":"","hidden":false,"status":"DISABLED"}`))

	gone := do(b, "DELETE", one, "")
	require.Equal(t, 204, gone.Code)
	require.Empty(t, gone.Body.String())
	systemstest.RequireJSON(t, 404, `{"errorCode":"ObjectNotFound","errorDescription":"there is no such webhook"}`, do(b, "GET", one, ""))
}

func TestPhraseWebhooks_Defaults(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, phrase.Mount)
	requireWebhook(t, 201, object(`""`, `"https://my.site.example/"`, `["JOB_CREATED"]`, `null`, `null`, "false", "ENABLED"),
		do(b, "POST", path, `{"url":"https://my.site.example/","events":["JOB_CREATED"]}`))
	read := b.Do(systemstest.Call{Method: "GET", Path: path, Authorization: apiToken(b.Env.Key(systemstest.Tenant, models.RoleRead))})
	require.Equal(t, 200, read.Code)
}

func TestPhraseWebhooks_EveryEventCanBeRegistered(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, phrase.Mount)
	for event := range strings.FieldsSeq(`JOB_STATUS_CHANGED JOB_CREATED JOB_ASSIGNED JOB_DUE_DATE_CHANGED JOB_UPDATED PROJECT_CREATED
		PROJECT_STATUS_CHANGED PROJECT_DUE_DATE_CHANGED PROJECT_TEMPLATE_CREATED PROJECT_TEMPLATE_UPDATED PROJECT_TEMPLATE_DELETED
		SHARED_PROJECT_ASSIGNED PROJECT_METADATA_UPDATED PRE_TRANSLATION_FINISHED ANALYSIS_CREATED CONTINUOUS_JOB_UPDATED JOB_DELETED
		JOB_TARGET_UPDATED JOB_EXPORTED JOB_UNEXPORTED PROJECT_DELETED JOB_UNSHARED PROJECT_UNSHARED JOB_AUTO_LQA_FINISHED JOB_METADATA_UPDATED
		JOB_CUSTOM_FIELDS_UPDATED`) {
		create(t, b, `{"url":"https://my.site.example/","events":["`+event+`"]}`)
	}
	require.Len(t, b.Webhooks(systemstest.Tenant), 26)
}

func TestPhraseWebhooks_ListFiltersSortsAndPages(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, phrase.Mount)
	create(t, b, `{"url":"https://b.example/","events":["JOB_CREATED"],"name":"beta"}`)
	create(t, b, `{"url":"https://a.example/","events":["JOB_UPDATED","PROJECT_CREATED"],"name":"alpha","status":"DISABLED"}`)
	_, key, err := b.Service.CreateKey(t.Context(), systemstest.Tenant, "Jane, the admin", models.RoleTenant)
	require.NoError(t, err)
	third := b.Do(systemstest.Call{Method: "POST", Path: path, Authorization: apiToken(key),
		Body: `{"url":"https://c.example/","events":["PROJECT_CREATED"],"name":"gamma"}`})
	require.Equal(t, 201, third.Code)
	b.Webhook(systemstest.Tenant, "https://a.example/standard") // of another profile: not listed

	for query, want := range map[string]string{
		"":                            "beta alpha gamma",
		"name=a":                      "beta alpha gamma",
		"name=am":                     "gamma",
		"name=AM":                     "gamma",
		"url=A.Example":               "alpha",
		"createdBy=":                  "beta alpha gamma",
		"modifiedBy=&createdBy=":      "beta alpha gamma",
		"createdBy=&createdBy=tenant": "beta alpha",
		"name=&url=&status=&events=&sortField=&sortTrend=&pageNumber=&pageSize=": "beta alpha gamma",
		"sortField=DATE_CREATED&sortTrend=DESC":                                  "gamma alpha beta",
		"sortField=DATE_MODIFIED":                                                "beta alpha gamma",
		"url=a.example":                                                          "alpha",
		"status=ENABLED":                                                         "beta gamma",
		"status=DISABLED":                                                        "alpha",
		"events=PROJECT_CREATED":                                                 "alpha gamma",
		"events=JOB_CREATED&events=JOB_UPDATED":                                  "beta alpha",
		"events=JOB_CREATED,JOB_UPDATED":                                         "beta alpha",
		"createdBy=tenant":                                                       "beta alpha",
		"createdBy=Jane,+the+admin":                                              "gamma",
		"createdBy=tenant&createdBy=Jane,+the+admin":                             "beta alpha gamma",
		"modifiedBy=nobody":                                                      "",
		"sortField=name":                                                         "alpha beta gamma",
		"sortField=NAME&sortTrend=DESC":                                          "gamma beta alpha",
		"sortField=url":                                                          "alpha beta gamma",
		"sortField=status":                                                       "alpha beta gamma",
		"sortField=failedAttempts":                                               "beta alpha gamma",
		"sortField=FAILED_ATTEMPTS":                                              "beta alpha gamma",
		"sortField=lastModified&sortTrend=asc":                                   "beta alpha gamma",
		"sortField=createdBy":                                                    "gamma beta alpha",
		"sortField=lastModifiedBy":                                               "gamma beta alpha",
		"sortField=id&sortTrend=DESC":                                            "gamma alpha beta",
		"sortField=uid":                                                          "beta alpha gamma",
		"pageSize=2":                                                             "beta alpha",
		"pageSize=2&pageNumber=1":                                                "gamma",
		"pageSize=2&pageNumber=2":                                                "",
	} {
		t.Run(query, func(t *testing.T) {
			w := do(b, "GET", path+"?"+query, "")
			require.Equal(t, 200, w.Code, w.Body.String())
			var page struct{ Content []struct{ Name string } }
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &page))
			var names []string
			for _, c := range page.Content {
				names = append(names, c.Name)
			}
			require.Equal(t, want, strings.Join(names, " "))
		})
	}
	systemstest.RequireJSON(t, 200, `{"totalElements":3,"totalPages":2,"pageSize":2,"pageNumber":5,"numberOfElements":0,"content":[]}`,
		do(b, "GET", path+"?pageSize=2&pageNumber=5", ""))
}

func TestPhraseWebhooks_PreviewsAreTheBodiesThatWouldBeSent(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, phrase.Mount)
	var got struct {
		Previews []struct{ Event, Preview string }
	}
	require.NoError(t, json.Unmarshal(do(b, "GET", path+"/previews?events=JOB_ASSIGNED&events=JOB_DUE_DATE_CHANGED", "").Body.Bytes(), &got))
	require.Len(t, got.Previews, 2)
	require.Equal(t, "JOB_ASSIGNED", got.Previews[0].Event)
	require.Regexp(t, `^\{"jobParts":\[.*"uid":"ipmdz5p0sagqcOYaijTZU2".*\],"event":"JOB_ASSIGNED","timestamp":\d+,"eventUid":"evt_[^"]+"\}$`, got.Previews[0].Preview)
	require.Contains(t, got.Previews[1].Preview, "EU White Paper Edited.doc")

	require.NoError(t, json.Unmarshal(do(b, "GET", path+"/previews", "").Body.Bytes(), &got))
	require.Len(t, got.Previews, 26)
}

func TestPhraseWebhooks_TheTestCallPostsThePreviewNow(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, phrase.Mount)
	receiver := systemstest.NewReceiver(t)
	one := path + "/" + create(t, b, `{"url":"`+receiver.URL+`","events":["JOB_CREATED"],"secretToken":"token-1","status":"DISABLED"}`)
	w := do(b, "POST", one+"/test?event=JOB_CREATED", "")
	require.Equal(t, 201, w.Code, w.Body.String())
	require.Empty(t, w.Body.String())
	got := receiver.Take()
	require.Len(t, got, 1)
	require.Contains(t, got[0].Body, `"event":"JOB_CREATED"`)
	require.Equal(t, "token-1", got[0].Header.Get("x-memsource-token"))

	systemstest.RequireJSON(t, 400, `{"errorCode":"InvalidRequest","errorDescription":"event is not one of the webhook's events"}`,
		do(b, "POST", one+"/test?event=JOB_UPDATED", ""))
	systemstest.RequireJSON(t, 400, `{"errorCode":"InvalidRequest","errorDescription":"event is required"}`, do(b, "POST", one+"/test", ""))
	require.Empty(t, receiver.Take())
}

// TestPhraseWebhooks_Receiver checks deliveries as the vendor's pages ask receivers to: the document's example with the system's
// additions, and the token.
func TestPhraseWebhooks_Receiver(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, phrase.Mount)
	receiver := systemstest.NewReceiver(t)
	create(t, b, `{"url":"`+receiver.URL+`","events":["JOB_CREATED"],"secretToken":"token-1"}`)
	id := b.Publish(systemstest.Tenant, "JOB_CREATED", `{"jobParts": [{"id": 9, "uid": "ipmdz5p0sagqcOYaijTZU2"}], "event": "JOB_CREATED"}`)
	b.Attempt(systemstest.Tenant, b.Deliveries(systemstest.Tenant, id)[0].ID)
	got := receiver.Take()
	require.Len(t, got, 1)
	require.Regexp(t, `^\{"jobParts": \[\{"id": 9, "uid": "ipmdz5p0sagqcOYaijTZU2"\}\],"event":"JOB_CREATED","timestamp":\d+,"eventUid":"`+id+`"\}$`, got[0].Body)
	require.Equal(t, "token-1", got[0].Header.Get("x-memsource-token"))
	require.Equal(t, mediaType, got[0].Header.Get("Content-Type"))
}

// TestPhraseWebhooks_CrossView follows one webhook through both APIs: disabled, failing, deactivated at the threshold and enabled.
func TestPhraseWebhooks_CrossView(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, phrase.Mount, func(_ *sender.Config, o *service.Options) { o.Threshold = 3 })
	receiver := systemstest.NewReceiver(t)
	body := `{"url":"` + receiver.URL + `","events":["JOB_UPDATED"]`
	uid := create(t, b, body+`}`)
	one := path + "/" + uid
	w := b.Webhooks(systemstest.Tenant)[0]
	require.Equal(t, "wh_"+uid, w.ID)
	require.Equal(t, "phrase", w.Profile)
	status := func() string { return systemstest.Text(t, do(b, "GET", one, ""), "status") }

	_, err := b.Service.Pause(t.Context(), systemstest.Tenant, w.ID, "test")
	require.NoError(t, err)
	require.Equal(t, "DISABLED", status())
	do(b, "PUT", one, body+`,"status":"DISABLED"}`)
	require.Equal(t, models.WebhookPaused, b.Webhooks(systemstest.Tenant)[0].Status, "saving it as it was changes nothing")
	do(b, "PUT", one, body+`,"status":"ENABLED"}`)
	require.Equal(t, models.WebhookActive, b.Webhooks(systemstest.Tenant)[0].Status)

	// Failures are counted in total: the success between them does not reset the count.
	for _, answer := range []int{500, 200, 500, 500} {
		receiver.Answer(answer)
		b.Deliver(systemstest.Tenant, "JOB_UPDATED", `{"jobParts":[]}`)
	}
	require.Contains(t, do(b, "GET", one, "").Body.String(), `"failedAttempts":3`)
	_, err = b.Service.Judge(t.Context(), w.ID)
	require.NoError(t, err)
	require.Equal(t, models.WebhookDeactivated, b.Webhooks(systemstest.Tenant)[0].Status)
	require.Equal(t, "DISABLED", status())
	unsent, err := b.Store.UnsentNotifications(t.Context(), w.ID)
	require.NoError(t, err)
	require.NotEmpty(t, unsent, "the administrators are told")

	do(b, "PUT", one, body+`,"status":"ENABLED"}`)
	require.Equal(t, models.WebhookActive, b.Webhooks(systemstest.Tenant)[0].Status)
	require.Contains(t, do(b, "GET", one, "").Body.String(), `"failedAttempts":0`)
	_, err = b.Service.Recover(t.Context(), systemstest.Tenant, w.ID, service.RecoveryRequest{})
	require.NoError(t, err)
}

func TestPhraseWebhooks_OfOthersAndOfOtherProfilesAreNotSeen(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, phrase.Mount)
	uid := create(t, b, sample)
	standard := b.Webhook(systemstest.Tenant, "https://receiver.example/")
	for _, c := range []systemstest.Call{
		{Method: "GET", Path: path + "/UID"}, {Method: "PUT", Path: path + "/UID", Body: sample}, {Method: "DELETE", Path: path + "/UID"},
		{Method: "POST", Path: path + "/UID/test?event=JOB_CREATED"},
	} {
		template := c.Path
		c.Path, c.Authorization = strings.Replace(template, "UID", uid, 1), apiToken(b.OtherKey)
		require.Equal(t, 404, b.Do(c).Code)
		c.Path, c.Authorization = strings.Replace(template, "UID", standard.ID, 1), apiToken(b.Key)
		require.Equal(t, 404, b.Do(c).Code)
	}
	list := b.Do(systemstest.Call{Method: "GET", Path: path, Authorization: apiToken(b.OtherKey)})
	systemstest.RequireJSON(t, 200, `{"totalElements":0,"totalPages":0,"pageSize":50,"pageNumber":0,"numberOfElements":0,"content":[]}`, list)
	require.Len(t, b.Webhooks(systemstest.Tenant), 2)
}

func TestPhraseWebhooks_Access(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, phrase.Mount)
	one := path + "/" + create(t, b, sample)
	calls := []systemstest.Call{
		{Method: "POST", Path: path, Body: sample},
		{Method: "GET", Path: path},
		{Method: "GET", Path: path + "/previews"},
		{Method: "GET", Path: one},
		{Method: "PUT", Path: one, Body: sample},
		{Method: "DELETE", Path: one},
		{Method: "POST", Path: one + "/test?event=JOB_CREATED"},
		{Method: "GET", Path: callsPath},
		{Method: "POST", Path: callsPath + "/replay", Body: `{"webhookCalls":[{"uid":"x"}]}`},
		{Method: "POST", Path: callsPath + "/replay/latest"},
	}
	for _, authorization := range []func(string) string{apiToken, func(key string) string { return "Bearer " + key }} {
		systemstest.RequireAccess(t, b, systemstest.Access{Calls: calls, Authorization: authorization, Refused: refused})
	}
	read := b.Do(systemstest.Call{Method: "GET", Path: one, Authorization: apiToken(b.Env.Key(systemstest.Tenant, models.RoleRead))})
	require.Contains(t, read.Body.String(), `"secretToken":null`, "a key that may only read does not see the token")
}

func TestPhraseWebhooks_BadInput(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, phrase.Mount, servicetest.Strict)
	one := path + "/" + create(t, b, sample)
	invalid := func(description string) string {
		return `{"errorCode":"InvalidRequest","errorDescription":"` + description + `"}`
	}
	with := func(member string) string {
		return `{"url":"https://a.example","events":["JOB_CREATED"],` + member + `}`
	}
	var inputs []systemstest.BadInput
	for _, c := range []systemstest.Call{{Method: "POST", Path: path}, {Method: "PUT", Path: one}} {
		for _, in := range []struct{ name, body, want string }{
			{"no body", "", invalid("body must be a JSON object")},
			{"not JSON", "{", invalid("body must be a JSON object")},
			{"a list", "[]", invalid("body must be a JSON object")},
			{"two objects", sample + "{}", invalid("body must be a JSON object")},
			{"form", "url=https://a.example", invalid("body must be a JSON object")},
			{"null", "null", invalid("body must be a JSON object")},
			{"no url", `{"events":["JOB_CREATED"]}`, invalid("url is required")},
			{"no events", `{"url":"https://a.example"}`, invalid("events is required")},
			{"empty events", `{"url":"https://a.example","events":[]}`, invalid("events must name at least one event")},
			{"unknown event", `{"url":"https://a.example","events":["JOB_CREATED","JOB_LOST"]}`, ""},
			{"wildcard", `{"url":"https://a.example","events":["*"]}`, ""},
			{"events as text", `{"url":"https://a.example","events":"JOB_CREATED"}`, invalid("events must be a list")},
			{"event as number", `{"url":"https://a.example","events":[1]}`, invalid("events[0] must be a string")},
			{"url as number", `{"url":1,"events":["JOB_CREATED"]}`, invalid("url must be a string")},
			{"http", `{"url":"http://a.example","events":["JOB_CREATED"]}`, invalid("url destination not allowed: the URL must be https")},
			{"private address", `{"url":"https://10.1.2.3","events":["JOB_CREATED"]}`, ""},
			{"status", with(`"status":"enabled"`), invalid("status must be ENABLED or DISABLED")},
			{"status as boolean", with(`"status":true`), invalid("status must be a string")},
			{"hidden as text", with(`"hidden":"yes"`), invalid("hidden must be a boolean")},
			{"token with a line break", with(`"secretToken":"a\nb"`), ""},
			{"token too long", with(`"secretToken":"` + strings.Repeat("t", 1025) + `"`), ""},
			{"token type too long", with(`"secretTokenType":"` + strings.Repeat("t", 101) + `"`), ""},
			{"name too long", with(`"name":"` + strings.Repeat("n", 201) + `"`), ""},
			{"unknown member", with(`"colour":"red"`), invalid("colour is not known")},
		} {
			c.Type, c.Body = mediaType, in.body
			inputs = append(inputs, systemstest.BadInput{Name: c.Method + " " + in.name, Call: c, Status: 400, Want: in.want})
		}
	}
	for _, target := range []string{
		path + "?pageNumber=-1", path + "?pageNumber=x", path + "?pageSize=0", path + "?pageSize=51", path + "?pageSize=1.5", path + "?status=on",
		path + "?events=JOB_LOST", path + "?sortField=colour", path + "?sortTrend=UP", path + "?pageNumber=99999999999999999999",
		path + "/previews?events=JOB_LOST",
		callsPath + "?pageNumber=-1", callsPath + "?pageSize=51", callsPath + "?events=JOB_LOST", callsPath + "?status=lost", callsPath + "?status=99",
		callsPath + "?webhookUid=%00", callsPath + "?parentUid=%ff", callsPath + "?webhookEventUid=a%00",
	} {
		inputs = append(inputs, systemstest.BadInput{Name: "GET " + target, Call: systemstest.Call{Method: "GET", Path: target}, Status: 400})
	}
	for _, target := range []string{"?numberOfCalls=0", "?numberOfCalls=101", "?numberOfCalls=x", "?status=lost", "?events=JOB_LOST"} {
		inputs = append(inputs, systemstest.BadInput{Name: "replay latest " + target, Status: 400,
			Call: systemstest.Call{Method: "POST", Path: callsPath + "/replay/latest" + target}})
	}
	for _, body := range []string{"", "{}", "[]", `{"webhookCalls":[]}`, `{"webhookCalls":[{"uid":1}]}`, `{"webhookCalls":["x"]}`, `{"webhookCalls":"x"}`,
		`{"webhookCalls":[{"uid":"x"}]}`, `{"webhookCalls":[{"uid":"\u0000"}]}`, `{"webhookCalls":[{"uid":"x","a":1}]}`, `{"calls":[]}`,
		`{"webhookCalls":[` + strings.Repeat(`{"uid":"x"},`, 100) + `{"uid":"x"}]}`} {
		inputs = append(inputs, systemstest.BadInput{Name: "replay " + body[:min(len(body), 40)], Status: 400,
			Call: systemstest.Call{Method: "POST", Path: callsPath + "/replay", Body: body}})
	}
	for _, id := range []string{"ipmdz5p0sagqcOYaijTZU2", "1", "%00", "%ff"} {
		inputs = append(inputs, systemstest.BadInput{Name: "webhook " + id, Status: 404, Call: systemstest.Call{Method: "GET", Path: path + "/" + id}})
	}
	systemstest.RequireRefused(t, b, refused, apiToken(b.Key), inputs)
	require.Empty(t, b.Engine.Dispatches())
}

// The seed's word for a template that has changed is understood, and events stay in the order in which they were sent.
func TestPhraseWebhooks_AliasesAndOrderOfEvents(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, phrase.Mount)
	receiver := systemstest.NewReceiver(t)
	uid := create(t, b, `{"url":"`+receiver.URL+`","events":["PROJECT_TEMPLATE_CHANGED","JOB_CREATED","ANALYSIS_CREATED","PROJECT_TEMPLATE_UPDATED"]}`)
	const want = `"events":["PROJECT_TEMPLATE_UPDATED","JOB_CREATED","ANALYSIS_CREATED"]`
	require.Contains(t, do(b, "GET", path+"/"+uid, "").Body.String(), want)
	require.Contains(t, do(b, "GET", path+"?events=PROJECT_TEMPLATE_CHANGED", "").Body.String(), want)
	require.Equal(t, 201, do(b, "POST", path+"/"+uid+"/test?event=PROJECT_TEMPLATE_CHANGED", "").Code)
	require.Contains(t, receiver.Take()[0].Body, `"event":"PROJECT_TEMPLATE_UPDATED"`)
	require.Equal(t, 200, do(b, "GET", path+"/previews?events=PROJECT_TEMPLATE_CHANGED", "").Code)
}

// Changes that Posthorn itself made are those of "posthorn".
func TestPhraseWebhooks_PosthornIsTheOneWhoDeactivates(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, phrase.Mount)
	one := path + "/" + create(t, b, sample)
	w := b.Webhooks(systemstest.Tenant)[0]
	require.NoError(t, b.Service.Gone(t.Context(), &w))
	require.Contains(t, do(b, "GET", one, "").Body.String(), `"lastModifiedBy":{"uid":"posthorn","userName":"posthorn"}`)
	require.Contains(t, do(b, "GET", path+"?modifiedBy=posthorn", "").Body.String(), `"totalElements":1`)
}

func TestPhraseWebhooks_TheTestCallSaysWhetherItWasReceived(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, phrase.Mount)
	receiver := systemstest.NewReceiver(t)
	one := path + "/" + create(t, b, `{"url":"`+receiver.URL+`","events":["JOB_CREATED"]}`)
	receiver.Answer(500)
	systemstest.RequireJSON(t, 400, `{"errorCode":"InvalidRequest","errorDescription":"the test call was not received: 500 Internal Server Error"}`,
		do(b, "POST", one+"/test?event=JOB_CREATED", ""))
	require.Len(t, receiver.Take(), 1)
}
