package api_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

func TestReplays_AnEventIsReplayed(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	first := e.webhook("https://shop.example/hooks")
	event := e.Publish("acme", "order.created", `{}`)
	delivery := e.Deliveries("acme", event)[0].ID
	path := "POST /v1/tenants/acme/events/" + event + "/replay"
	replayed := func(body string) map[string]map[string]any {
		t.Helper()
		byHook := map[string]map[string]any{}
		rows, ok := e.call(path, body).is(http.StatusAccepted).json()["deliveries"].([]any)
		require.True(t, ok)
		for _, row := range rows {
			row, _ := row.(map[string]any)
			byHook[row["webhook_id"].(string)] = row
		}
		return byHook
	}
	started := len(e.Engine.Dispatches())
	require.Equal(t, delivery, replayed("")[first]["id"])
	require.Len(t, e.Engine.Dispatches(), started, "what is pending is left alone")

	second, disabled := e.webhook("https://shop.example/late"), e.webhook("https://shop.example/disabled")
	e.call("POST /v1/tenants/acme/webhooks/"+disabled+"/disable", "").is(http.StatusOK)
	other := e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/paid","event_types":["order.paid"]}`).is(http.StatusCreated).text("id")
	require.Equal(t, map[string]int{second: 1}, map[string]int{second: len(replayed(`{"webhook_ids":["` + second + `"]}`))})
	all := replayed(`{}`)
	require.Len(t, all, 3)
	require.Equal(t, "pending", all[second]["status"])
	require.Equal(t, "held", all[disabled]["status"])
	require.Equal(t, "webhook disabled", all[disabled]["status_reason"])
	require.NotContains(t, all, other)
	require.Len(t, e.Deliveries("acme", event), 3)

	require.Equal(t, []string{"webhook_ids[0]", "webhook_ids[1]"},
		e.call(path, `{"webhook_ids":["`+other+`","wh_none","`+first+`"]}`).is(http.StatusUnprocessableEntity).fields())
	require.Equal(t, []string{"webhook_ids"}, e.call(path, `{"webhook_ids":[]}`).is(http.StatusUnprocessableEntity).fields())
	e.call("POST /v1/tenants/acme/events/evt_none/replay", "").is(http.StatusNotFound)
	e.call("DELETE /v1/tenants/acme/events/"+event+"/payload", "").is(http.StatusNoContent)
	e.call(path, "").is(http.StatusConflict)
}

func TestReplays_AReplayToManyWebhooksIsARecovery(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	event := e.Publish("acme", "order.created", `{}`)
	for i := range 101 {
		e.webhook("https://shop.example/hooks/" + strconv.Itoa(i))
	}
	begun := e.call("POST /v1/tenants/acme/events/"+event+"/replay", "").is(http.StatusAccepted)
	id := begun.text("id")
	require.NotContains(t, begun.json(), "deliveries")
	require.Contains(t, e.Engine.Recoveries(), id)
	r, err := e.Service.ReleasePage(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, models.RecoveryDone, r.Status)
	require.Len(t, e.Deliveries("acme", event), 101)
	got := e.call("GET /v1/tenants/acme/recoveries/"+id, "").is(http.StatusOK).json()
	require.Equal(t, event, got["event_id"])
	require.Nil(t, got["webhook_id"])
	require.InDelta(t, 101, got["total"], 0)
	require.InDelta(t, 101, got["released"], 0)
	require.Equal(t, "recover/"+id, got["workflow_id"])
	require.Equal(t, "http://ui.test/workflows/recover/"+id, got["ui_url"])
	require.Equal(t, id, e.call("GET /v1/tenants/acme/recoveries", "").is(http.StatusOK).data()[0]["id"])
}

func TestReplays_RecoveriesOfWhatWasMissed(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.webhook("https://shop.example/first")
	for range 3 {
		e.Publish("acme", "order.created", `{}`)
	}
	e.Publish("acme", "order.paid", `{}`)
	late := e.webhook("https://shop.example/late")
	path := "POST /v1/tenants/acme/webhooks/" + late + "/recover"
	begun := e.call(path, `{"missed":true,"event_types":["order.created"]}`).is(http.StatusAccepted)
	require.Nil(t, begun.json()["total"], "it is not counted yet")
	require.Equal(t, true, begun.json()["missed"])
	require.Equal(t, []any{}, begun.json()["statuses"])
	require.NotNil(t, begun.json()["since"], "the retention")
	for range 3 {
		_, err := e.Service.ReleasePage(t.Context(), begun.text("id"))
		require.NoError(t, err)
	}
	done := e.call("GET /v1/tenants/acme/recoveries/"+begun.text("id"), "").is(http.StatusOK).json()
	require.Equal(t, "completed", done["status"])
	require.InDelta(t, 3, done["total"], 0)
	require.Len(t, e.call("GET /v1/tenants/acme/deliveries?webhook_id="+late, "").data(), 3)

	require.Equal(t, []string{"event_types[0]"}, e.call(path, `{"missed":true,"event_types":["order.craeted"]}`).is(http.StatusUnprocessableEntity).fields())
	require.Equal(t, []string{"statuses[0]"}, e.call(path, `{"statuses":["pending"]}`).is(http.StatusUnprocessableEntity).fields())
	both := e.call(path, `{"statuses":["delivered","canceled"],"missed":true,"rate":3}`).is(http.StatusAccepted).json()
	require.Equal(t, []any{"delivered", "canceled"}, both["statuses"])
}

// A window never reaches further back than the retention, whatever since says.
func TestReplays_MissedEventsEndAtTheRetention(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	hook := e.webhook("https://shop.example/late")
	for _, body := range []string{`{"missed":true}`, `{"missed":true,"since":"2001-01-01T00:00:00Z"}`} {
		id := e.call("POST /v1/tenants/acme/webhooks/"+hook+"/recover", body).is(http.StatusAccepted).text("id")
		r, err := e.Service.Recovery(t.Context(), "acme", id)
		require.NoError(t, err)
		require.NotNil(t, r.EventsSince)
		require.InDelta(t, 14*24*3600, r.CreatedAt.Sub(*r.EventsSince).Seconds(), 5)
	}
}

// What expires while a recovery runs is not sent.
func TestReplays_MissedEventsEndAtTheRetentionOfTheirTime(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.Publish("acme", "order.created", `{}`)
	hook := e.webhook("https://shop.example/late")
	id := e.call("POST /v1/tenants/acme/webhooks/"+hook+"/recover", `{"missed":true}`).is(http.StatusAccepted).text("id")
	e.Clock.Advance(14*24*time.Hour + time.Minute)
	r, err := e.Service.ReleasePage(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, []any{models.RecoveryDone, int64(0)}, []any{r.Status, r.Released})
}

func TestReplays_ListsOfAllTenants(t *testing.T) {
	t.Parallel()
	e := withRows(t)
	for path, most := range map[string]int{"/v1/webhooks": 4, "/v1/deliveries": 12, "/v1/recoveries": 4} {
		rows := e.asAdmin("GET "+path, "").is(http.StatusOK).data()
		require.Len(t, rows, most, path)
		of := map[any]int{}
		for _, row := range rows {
			of[row["tenant"]]++
		}
		require.Equal(t, map[any]int{"acme": most / 2, "globex": most / 2}, of, path)
		for _, row := range e.asAdmin("GET "+path+"?tenant=globex", "").is(http.StatusOK).data() {
			require.Equal(t, "globex", row["tenant"])
		}
		require.Len(t, e.asAdmin("GET "+path+"?tenant=globex", "").data(), most/2)
		require.Empty(t, e.asAdmin("GET "+path+"?tenant=nobody", "").is(http.StatusOK).data())
		e.call("GET "+path, "").is(http.StatusForbidden)
	}
	event := e.Publish("globex", "order.created", `{}`)
	require.Len(t, e.asAdmin("GET /v1/deliveries?event_id="+event, "").is(http.StatusOK).data(), 2)
	require.Empty(t, e.asAdmin("GET /v1/deliveries?tenant=acme&event_id="+event, "").is(http.StatusOK).data())
}

func TestReplays_Erasures(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	hook := e.webhook("https://shop.example/hooks")
	publish := func(eventType, customer string) string {
		t.Helper()
		return e.call(eventsRoute, `{"type":"`+eventType+`","data":{"a":1},"attributes":{"customer":"`+customer+`"}}`).is(http.StatusAccepted).text("id")
	}
	mine, paid, other := publish("order.created", "4711"), publish("order.paid", "4711"), publish("order.created", "4712")
	const path = "POST /v1/tenants/acme/erasures"
	for body, fields := range map[string][]string{
		`{}`:                               {"until"},
		`{"all":true}`:                     {"until"},
		`{"until":"2026-01-01T00:00:00Z"}`: {"all"},
		`{"attribute":"customer"}`:         {"attribute"},
		`{"event_types":["order.craeted"],"attribute":":x"}`: {"event_types[0]", "attribute"},
	} {
		require.ElementsMatch(t, fields, e.call(path, body).is(http.StatusUnprocessableEntity).fields(), body)
	}
	counted := e.call(path, `{"attribute":"customer:4711","dry_run":true}`).is(http.StatusOK).json()
	require.Equal(t, map[string]any{"count": 2.0, "complete": true}, counted)
	erased := func(id string) bool {
		t.Helper()
		return e.call("GET /v1/tenants/acme/events/"+id, "").is(http.StatusOK).json()["erased_at"] != nil
	}
	require.False(t, erased(mine))

	id := e.call(path, `{"attribute":"customer:4711","event_types":["order.created"]}`).is(http.StatusAccepted).text("id")
	receipt := e.call("GET /v1/tenants/acme/erasures/"+id, "").is(http.StatusOK).json()
	require.Equal(t, "completed", receipt["status"])
	require.InDelta(t, 1, receipt["erased"], 0)
	require.NotNil(t, receipt["finished_at"])
	require.Equal(t, []bool{true, false, false}, []bool{erased(mine), erased(paid), erased(other)})
	require.Equal(t, models.Canceled, e.Deliveries("acme", mine)[0].Status)
	require.Equal(t, hook, e.Deliveries("acme", mine)[0].WebhookID)
	e.call(path, `{"until":"2200-01-01T00:00:00Z","all":true}`).is(http.StatusAccepted)
	require.True(t, erased(other))
	e.call("GET /v1/tenants/acme/erasures/era_none", "").is(http.StatusNotFound)
	_, err := e.Service.Erase(t.Context(), "nobody", service.ErasureRequest{Attribute: "a:b"})
	require.Error(t, err)
}
