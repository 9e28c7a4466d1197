package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

func eventArrives(x *tenant) {
	r := harness.NewReceiver(x, nil)
	token := "token" + strings.Repeat("7", 20)
	w := x.hook(r.URL, object{"event_types": []string{"order.*"}, "headers": object{"X-Token": token}})
	x.keep(token)
	data := fmt.Sprintf(`{ "z":1, "a" : [1.0, 2e3,"ü\u00fc"],"note":"%s"}`, x.world.confidential.payload)

	accepted := harness.Read[harness.Accepted](x, x.api.Call(x, http.StatusAccepted, "POST "+x.path("/events"), `{"data":`+data+`,"type":"order.created"}`))

	d := x.await(accepted.ID, "delivered")
	require.Equal(x, w.ID, d.WebhookID)
	if accepted.WorkflowID != "" { // else so much is published at once that it shares one
		require.Equal(x, x.world.DeliverID(accepted.ID), accepted.WorkflowID)
		require.Equal(x, accepted.WorkflowID, d.WorkflowID)
	}
	posts := r.Posts()
	require.Len(x, posts, 1)
	p := posts[0]
	require.NoError(x, p.Verify(w.Secret))
	require.Equal(x, accepted.ID, p.ID())
	require.Contains(x, string(p.Body), `"type":"order.created"`)
	require.Contains(x, string(p.Body), `"data":`+data, "the data are the bytes that were posted")
	require.Equal(x, "application/json", p.Header.Get("Content-Type"))
	require.Equal(x, "Posthorn/under-test", p.Header.Get("User-Agent"))
	require.Equal(x, token, p.Header.Get("X-Token"))

	require.Len(x, d.Attempts, 1)
	require.True(x, d.Attempts[0].Received())
	require.Equal(x, http.StatusNoContent, *d.Attempts[0].StatusCode)
	require.Empty(x, d.Upcoming)
	require.Nil(x, d.NextAttemptAt)
	shown := x.api.Call(x, http.StatusOK, "GET "+x.path("/deliveries/"+d.ID), nil)
	require.NotContains(x, string(shown.Body), token, "values of custom headers are masked")

	x.api.Call(x, http.StatusAccepted, "POST "+x.path("/events"), `{"type":"invoice.sent","data":{"number":"A1","total":1}}`)
	require.Len(x, x.list("webhook_id="+w.ID), 1, "it did not ask for invoices")
}

func attemptsAreAlike(x *tenant) {
	r := harness.NewReceiver(x, harness.FailFirst(3))
	w := x.hook(r.URL, harness.Retries(5, "100ms"))

	event := x.publish(1).ID

	d := x.await(event, "delivered")
	require.Len(x, d.Attempts, 4)
	posts := r.Posts()
	require.Len(x, posts, 4)
	for i, p := range posts {
		require.NoError(x, p.Verify(w.Secret))
		require.Equal(x, event, p.ID())
		require.Equal(x, string(posts[0].Body), string(p.Body))
		require.Equal(x, i+1, d.Attempts[i].Number)
		require.Equal(x, i == 3, d.Attempts[i].Received())
	}
}

func keyMakesOneEvent(x *tenant) {
	r := harness.NewReceiver(x, nil)
	x.hook(r.URL)
	publish := func(body, key string) (harness.Reply, error) {
		return x.api.Do(x.Context(), "POST "+x.path("/events"), body, "Idempotency-Key", key)
	}
	const callers = 20
	replies := make([]harness.Reply, callers)
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { replies[i], errs[i] = publish(x.order(1), "the key") })
	}
	wg.Wait()
	first := 0
	for i, reply := range replies {
		require.NoError(x, errs[i])
		require.Equal(x, http.StatusAccepted, reply.Status, "%s", reply.Body)
		require.JSONEq(x, string(replies[0].Body), string(reply.Body))
		if reply.Header.Get("Idempotency-Replayed") == "" {
			first++
		}
	}
	require.Equal(x, 1, first, "one was accepted, the others repeat its answer")
	other, err := publish(x.order(2), "the key")
	require.NoError(x, err)
	require.Equal(x, http.StatusConflict, other.Status)

	event := harness.Read[harness.Accepted](x, replies[0]).ID
	x.await(event, "delivered")
	events := harness.Get[harness.List[harness.Event]](x, x.api, x.path("/events")).Data
	require.Len(x, events, 1)
	require.Equal(x, map[string]int{event: 1}, r.Counts())
}

func batchIsWhole(x *tenant) {
	r := harness.NewReceiver(x, nil)
	w := x.hook(r.URL)
	batch := func(events ...string) string { return `{"events":[` + strings.Join(events, ",") + `]}` }

	bad := x.api.Call(x, http.StatusUnprocessableEntity, "POST "+x.path("/events/batch"), batch(x.order(1), `{"type":"order.lost","data":{}}`, x.order(3)))
	require.Contains(x, string(bad.Body), "events[1].type")
	require.Empty(x, x.list(""))

	var orders []string
	for i := range 60 {
		orders = append(orders, x.order(i))
	}
	reply := x.api.Call(x, http.StatusAccepted, "POST "+x.path("/events/batch"), batch(orders...))
	accepted := harness.Read[harness.List[harness.Accepted]](x, reply).Data
	require.Len(x, accepted, len(orders))
	x.awaitAll(w, "delivered", len(orders))
	require.Len(x, r.Posts(), len(orders))
	for i, p := range r.Posts() {
		require.NoError(x, p.Verify(w.Secret), "POST %d", i)
	}
	counts := r.Counts()
	for _, a := range accepted {
		require.Equal(x, 1, counts[a.ID])
	}
}
