package phrase_test

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/phrase"
	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

const callsPath = "/phrase/web/api2/v1/webhooksCalls"

// log is a bench with a webhook, its receiver, and a few calls: JOB_UPDATED received, JOB_CREATED failed and then
// received, PROJECT_CREATED failed without an answer to it yet.
type log struct {
	*systemstest.Bench
	t        *testing.T
	receiver *systemstest.Receiver
	uid      string
	events   []string // ids, in the order of publishing
}

func newLog(t *testing.T) *log {
	t.Helper()
	b := systemstest.New(t, phrase.Mount)
	l := &log{Bench: b, t: t, receiver: systemstest.NewReceiver(t)}
	l.uid = create(t, b, `{"url":"`+l.receiver.URL+`","events":["JOB_UPDATED","JOB_CREATED","PROJECT_CREATED"]}`)
	b.Webhook(systemstest.Tenant, "https://nowhere.example/") // of another profile, for every event: its calls are not listed
	for _, c := range []struct {
		event   string
		answers []int
	}{{"JOB_UPDATED", []int{200}}, {"JOB_CREATED", []int{500, 200}}, {"PROJECT_CREATED", []int{404}}} {
		id := b.Publish(systemstest.Tenant, c.event, `{"jobParts":[],"n":"`+c.event+`"}`)
		l.events = append(l.events, id)
		for _, d := range b.Deliveries(systemstest.Tenant, id) {
			for _, answer := range c.answers {
				l.receiver.Answer(answer)
				b.Attempt(systemstest.Tenant, d.ID)
			}
		}
	}
	l.receiver.Answer(200)
	l.receiver.Take()
	return l
}

type entry struct {
	UID, EventUID, TriggerEvent string
	ParentUID, LastForcedAt     *string
	Forced                      bool
	RetryAttempt                int
}

func (l *log) list(query string) []entry {
	l.t.Helper()
	w := do(l.Bench, "GET", callsPath+query, "")
	require.Equal(l.t, 200, w.Code, w.Body.String())
	var page struct{ Content []entry }
	require.NoError(l.t, json.Unmarshal(w.Body.Bytes(), &page))
	return page.Content
}

// launched returns the events of the dispatches since the n-th, in order.
func (l *log) launched(n int) []string {
	l.t.Helper()
	var events []string
	for _, d := range l.Engine.Dispatches()[n:] {
		delivery, err := l.Store.Delivery(l.t.Context(), systemstest.Tenant, d.Deliveries[0].ID)
		require.NoError(l.t, err)
		events = append(events, delivery.EventType)
	}
	return events
}

func TestPhraseCalls_AreListedNewestFirst(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	call := func(event, body, retry, parent, status, message string) string {
		return `{"uid":"x","parentUid":` + parent + `,"eventUid":"x","webhookSettings":{"uid":"x"},"createdAt":"x","url":"` + l.receiver.URL +
			`","forced":false,"lastForcedAt":null,"body":"` + body + `","triggerEvent":"` + event + `","retryAttempt":` + retry +
			`,"statusCode":` + status + `,"errorMessage":` + message + `}`
	}
	w := do(l.Bench, "GET", callsPath, "")
	systemstest.RequireJSON(t, 200, `{"totalElements":4,"totalPages":1,"pageSize":50,"pageNumber":0,"numberOfElements":4,"content":[`+strings.Join([]string{
		call("PROJECT_CREATED", "x", "0", "null", "404", `"404 Not Found"`),
		call("JOB_CREATED", "x", "1", `"x"`, "200", "null"),
		call("JOB_CREATED", "x", "0", "null", "500", `"500 Internal Server Error"`),
		call("JOB_UPDATED", "x", "0", "null", "200", "null"),
	}, ",")+`]}`, w, "uid", "parentUid", "eventUid", "createdAt", "body")
	all := l.list("")
	require.Equal(t, []string{l.events[2], l.events[1], l.events[1], l.events[0]},
		[]string{all[0].EventUID, all[1].EventUID, all[2].EventUID, all[3].EventUID})
	require.Equal(t, all[2].UID, *all[1].ParentUID)
	var first struct{ Content []struct{ Body string } }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &first))
	require.Regexp(t, `^\{"jobParts":\[\],"n":"PROJECT_CREATED","event":"PROJECT_CREATED","timestamp":\d+,"eventUid":"`+l.events[2]+`"\}$`, first.Content[0].Body)
}

func TestPhraseCalls_AreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	all := l.list("")
	for query, want := range map[string][]int{
		"?events=JOB_CREATED":                        {1, 2},
		"?events=JOB_UPDATED&events=PROJECT_CREATED": {0, 3},
		"?status=SUCCESS":                            {1, 3},
		"?status=failed":                             {0, 2},
		"?status=404":                                {0},
		"?status=ALL":                                {0, 1, 2, 3},
		"?webhookUid=" + l.uid:                       {0, 1, 2, 3},
		"?webhookUid=wh_" + l.uid:                    {0, 1, 2, 3},
		"?webhookUid=other":                          {},
		"?webhookEventUid=" + l.events[1]:            {1, 2},
		"?parentUid=" + all[2].UID:                   {1},
		"?parentUid=" + all[1].UID:                   {}, // itself a repeat
		"?pageSize=3":                                {0, 1, 2},
		"?pageSize=3&pageNumber=1":                   {3},
		"?pageSize=3&pageNumber=2":                   {},
		"?status=FAILED&events=JOB_CREATED":          {2},
		"?webhookUid=" + url.QueryEscape("' OR 1=1"): {},
	} {
		t.Run(query, func(t *testing.T) {
			found := l.list(query)
			require.Len(t, found, len(want))
			for i, k := range want {
				require.Equal(t, all[k].UID, found[i].UID)
			}
		})
	}
}

func TestPhraseCalls_OfOthersAreNotSeenNorReplayed(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	n := len(l.Engine.Dispatches())
	as := func(method, path, body string) *httptest.ResponseRecorder {
		return l.Do(systemstest.Call{Method: method, Path: path, Authorization: apiToken(l.OtherKey), Body: body})
	}
	systemstest.RequireJSON(t, 200, `{"totalElements":0,"totalPages":0,"pageSize":50,"pageNumber":0,"numberOfElements":0,"content":[]}`, as("GET", callsPath, ""))
	systemstest.RequireJSON(t, 400, `{"errorCode":"InvalidRequest","errorDescription":"webhookCalls[0] there is no such call"}`,
		as("POST", callsPath+"/replay", `{"webhookCalls":[{"uid":"`+l.list("")[0].UID+`"}]}`))
	require.Equal(t, 202, as("POST", callsPath+"/replay/latest", "").Code)
	require.Len(t, l.Engine.Dispatches(), n)
}

func TestPhraseCalls_ReplayStartsTheNamedCallsInTheirOrder(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	all := l.list("")
	n := len(l.Engine.Dispatches())
	named := make([]string, 0, 3)
	for _, k := range []int{3, 0, 1, 2} { // the last two are of one delivery
		named = append(named, `{"uid":"`+all[k].UID+`"}`)
	}
	w := do(l.Bench, "POST", callsPath+"/replay", `{"webhookCalls":[`+strings.Join(named, ",")+`]}`)
	require.Equal(t, 202, w.Code, w.Body.String())
	require.Empty(t, w.Body.String())
	require.Equal(t, []string{"JOB_UPDATED", "PROJECT_CREATED", "JOB_CREATED"}, l.launched(n))

	// The replayed calls are marked, and the new ones are listed as repeats of the first.
	delivery := l.Engine.Dispatches()[n].Deliveries[0]
	l.Attempt(systemstest.Tenant, delivery.ID)
	require.Contains(t, l.receiver.Take()[0].Body, `"event":"JOB_UPDATED"`)
	after := l.list("")
	require.Len(t, after, 5)
	require.Equal(t, all[3].UID, *after[0].ParentUID)
	require.Equal(t, 1, after[0].RetryAttempt)
	require.False(t, after[0].Forced)
	for _, replayed := range after[1:] {
		require.True(t, replayed.Forced)
		require.NotNil(t, replayed.LastForcedAt)
	}
}

func TestPhraseCalls_ReplayLatestTakesEachDeliveryOnceOldestFirst(t *testing.T) {
	t.Parallel()
	for query, want := range map[string][]string{
		"":                                 {"JOB_UPDATED", "JOB_CREATED", "PROJECT_CREATED"},
		"?numberOfCalls=2":                 {"JOB_CREATED", "PROJECT_CREATED"},
		"?numberOfCalls=5&status=FAILED":   {"PROJECT_CREATED"},
		"?numberOfCalls=1&status=SUCCESS":  {"JOB_CREATED"},
		"?events=JOB_UPDATED,JOB_CREATED":  {"JOB_UPDATED", "JOB_CREATED"},
		"?events=ANALYSIS_CREATED":         nil,
		"?numberOfCalls=5&events=&status=": {"JOB_UPDATED", "JOB_CREATED", "PROJECT_CREATED"},
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			l := newLog(t)
			n := len(l.Engine.Dispatches())
			w := do(l.Bench, "POST", callsPath+"/replay/latest"+query, "")
			require.Equal(t, 202, w.Code, w.Body.String())
			require.Empty(t, w.Body.String())
			require.Equal(t, want, l.launched(n))
		})
	}
}

// TestPhraseCalls_WhatCannotBeReplayedIsToldAndNothingIs tries each obstacle. A replay that names it is refused completely, and a
// replay of the latest calls skips it.
func TestPhraseCalls_WhatCannotBeReplayedIsToldAndNothingIs(t *testing.T) {
	t.Parallel()
	for want, obstruct := range map[string]func(*log) error{
		"webhookCalls[1] its webhook is not active": func(l *log) error {
			_, err := l.Service.Disable(l.t.Context(), systemstest.Tenant, "wh_"+l.uid, "", "test")
			return err
		},
		"webhookCalls[1] its webhook has been deleted": func(l *log) error {
			_, err := l.Service.DeleteWebhook(l.t.Context(), systemstest.Tenant, "wh_"+l.uid)
			return err
		},
		"webhookCalls[1] its event's payload has been erased": func(l *log) error {
			return l.Service.ErasePayload(l.t.Context(), systemstest.Tenant, l.events[0])
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			l := newLog(t)
			second := systemstest.NewReceiver(t)
			create(t, l.Bench, `{"url":"`+second.URL+`","events":["ANALYSIS_CREATED"]}`)
			published, err := l.Service.Publish(t.Context(), systemstest.Tenant,
				service.PublishRequest{Events: []service.EventInput{{Type: "ANALYSIS_CREATED", Data: []byte(`{}`)}}})
			require.NoError(t, err)
			for _, d := range l.Deliveries(systemstest.Tenant, published[0].ID) {
				l.Attempt(systemstest.Tenant, d.ID)
			}
			all := l.list("")
			require.NoError(t, obstruct(l))
			n := len(l.Engine.Dispatches())
			w := do(l.Bench, "POST", callsPath+"/replay", `{"webhookCalls":[{"uid":"`+all[0].UID+`"},{"uid":"`+all[4].UID+`"}]}`)
			require.Equal(t, 400, w.Code)
			require.Contains(t, systemstest.Text(t, w, "errorDescription"), want)
			require.Len(t, l.Engine.Dispatches(), n)
			require.False(t, l.list("")[0].Forced)

			require.Equal(t, 202, do(l.Bench, "POST", callsPath+"/replay/latest", "").Code)
			require.NotContains(t, l.launched(n), "JOB_UPDATED")
			require.Contains(t, l.launched(n), "ANALYSIS_CREATED")
		})
	}
}

func TestPhraseCalls_TheBodyOfAnErasedEventIsGone(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	require.NoError(t, l.Service.ErasePayload(t.Context(), systemstest.Tenant, l.events[2]))
	require.Contains(t, do(l.Bench, "GET", callsPath+"?pageSize=1", "").Body.String(), `"body":null`)
	require.Equal(t, models.Canceled, l.Deliveries(systemstest.Tenant, l.events[2])[0].Status)
}

// newHeld makes a log in which two calls are held, as the webhook was disabled when their events came, and is enabled again.
func newHeld(t *testing.T) (l *log, ids []string) {
	t.Helper()
	l = newLog(t)
	body := `{"url":"` + l.receiver.URL + `","events":["JOB_UPDATED","JOB_CREATED","PROJECT_CREATED"],"status":"`
	require.Equal(t, 200, do(l.Bench, "PUT", path+"/"+l.uid, body+`DISABLED"}`).Code)
	for _, event := range []string{"JOB_UPDATED", "PROJECT_CREATED"} {
		ids = append(ids, l.Publish(systemstest.Tenant, event, `{"jobParts":[]}`))
	}
	require.Equal(t, "inactive", string(l.obstacle(t)))
	require.Equal(t, 200, do(l.Bench, "PUT", path+"/"+l.uid, body+`ENABLED"}`).Code)
	return l, ids
}

func (l *log) obstacle(t *testing.T) models.Obstacle {
	t.Helper()
	rows, total, err := l.Store.HeldCalls(t.Context(), systemstest.Tenant, models.CallFilter{Profile: "phrase"}, 10, 0)
	require.NoError(t, err)
	require.Equal(t, int64(2), total)
	return rows[0].Obstacle
}

// TestPhraseCalls_HeldCallsAreListed: calls that came while the webhook was out of service stand before sent ones, newest first.
func TestPhraseCalls_HeldCallsAreListed(t *testing.T) {
	t.Parallel()
	l, ids := newHeld(t)
	all := l.list("")
	require.Len(t, all, 6)
	require.Equal(t, []string{ids[1], ids[0], l.events[2]}, []string{all[0].EventUID, all[1].EventUID, all[2].EventUID})
	first := do(l.Bench, "GET", callsPath+"?pageSize=1", "")
	systemstest.RequireJSON(t, 200, `{"totalElements":6,"totalPages":6,"pageSize":1,"pageNumber":0,"numberOfElements":1,"content":[{"uid":"x","parentUid":null,
		"eventUid":"x","webhookSettings":{"uid":"x"},"createdAt":"x","url":"`+l.receiver.URL+`","forced":false,"lastForcedAt":null,"body":"x",
		"triggerEvent":"PROJECT_CREATED","retryAttempt":0,"statusCode":null,"errorMessage":"not sent: webhook disabled"}]}`,
		first, "uid", "eventUid", "createdAt", "body")
	for query, want := range map[string][]int{
		"?pageSize=3":                       {0, 1, 2},
		"?pageSize=3&pageNumber=1":          {3, 4, 5},
		"?pageSize=4&pageNumber=1":          {4, 5},
		"?pageSize=1&pageNumber=1":          {1},
		"?status=FAILED":                    {0, 1, 2, 4},
		"?status=SUCCESS":                   {3, 5},
		"?status=404":                       {2},
		"?events=JOB_UPDATED":               {1, 5},
		"?webhookEventUid=" + ids[0]:        {1},
		"?webhookUid=" + l.uid:              {0, 1, 2, 3, 4, 5},
		"?webhookUid=other":                 {},
		"?parentUid=" + all[4].UID:          {3},
		"?status=FAILED&events=JOB_UPDATED": {1},
	} {
		t.Run(query, func(t *testing.T) {
			found := l.list(query)
			require.Len(t, found, len(want))
			for i, k := range want {
				require.Equal(t, all[k].UID, found[i].UID)
			}
		})
	}
	other := l.Do(systemstest.Call{Method: "GET", Path: callsPath, Authorization: apiToken(l.OtherKey)})
	require.Contains(t, other.Body.String(), `"totalElements":0`)
}

// TestPhraseCalls_HeldCallsAreReplayed by their uid, in the order given, whole objects as they were listed.
func TestPhraseCalls_HeldCallsAreReplayed(t *testing.T) {
	t.Parallel()
	l, ids := newHeld(t)
	n := len(l.Engine.Dispatches())
	var listed struct{ Content []json.RawMessage }
	require.NoError(t, json.Unmarshal(do(l.Bench, "GET", callsPath+"?pageSize=3", "").Body.Bytes(), &listed))
	w := do(l.Bench, "POST", callsPath+"/replay", `{"webhookCalls":[`+string(listed.Content[1])+`,`+string(listed.Content[2])+`,`+string(listed.Content[0])+`]}`)
	require.Equal(t, 202, w.Code, w.Body.String())
	require.Equal(t, []string{"JOB_UPDATED", "PROJECT_CREATED", "PROJECT_CREATED"}, l.launched(n))
	all := l.Deliveries(systemstest.Tenant, ids[0]) // another webhook has one too
	d := all[slices.IndexFunc(all, func(d models.Delivery) bool { return d.WebhookID == "wh_"+l.uid })]
	require.Equal(t, models.Pending, d.Status)
	l.Attempt(systemstest.Tenant, d.ID)
	require.Len(t, l.receiver.Take(), 1)
	made := l.list("?webhookEventUid=" + ids[0])
	require.Len(t, made, 1, "it has been made now")
	require.NotEqual(t, d.ID, made[0].UID)
}

func TestPhraseCalls_TheLatestCallsAreHeldOnesFirst(t *testing.T) {
	t.Parallel()
	for query, want := range map[string][]string{
		"?numberOfCalls=2":               {"JOB_UPDATED", "PROJECT_CREATED"},
		"?numberOfCalls=1":               {"PROJECT_CREATED"},
		"?numberOfCalls=9&status=FAILED": {"PROJECT_CREATED", "JOB_UPDATED", "PROJECT_CREATED"},
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			l, _ := newHeld(t)
			n := len(l.Engine.Dispatches())
			require.Equal(t, 202, do(l.Bench, "POST", callsPath+"/replay/latest"+query, "").Code)
			require.Equal(t, want, l.launched(n))
		})
	}
}

// A held call of a webhook that is still out of service is listed, and refused.
func TestPhraseCalls_HeldCallsOfAnInactiveWebhook(t *testing.T) {
	t.Parallel()
	l, _ := newHeld(t)
	_, err := l.Service.Disable(t.Context(), systemstest.Tenant, "wh_"+l.uid, "", "test")
	require.NoError(t, err)
	n := len(l.Engine.Dispatches())
	w := do(l.Bench, "POST", callsPath+"/replay", `{"webhookCalls":[{"uid":"`+l.list("")[0].UID+`"}]}`)
	systemstest.RequireJSON(t, 400, `{"errorCode":"InvalidRequest","errorDescription":"webhookCalls[0] its webhook is not active"}`, w)
	require.Equal(t, 202, do(l.Bench, "POST", callsPath+"/replay/latest", "").Code)
	require.Len(t, l.Engine.Dispatches(), n)
	_, err = l.Service.DeleteWebhook(t.Context(), systemstest.Tenant, "wh_"+l.uid)
	require.NoError(t, err)
	require.Len(t, l.list(""), 4, "what is owed to a deleted webhook is canceled")
}
