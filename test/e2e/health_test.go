package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

// operational is an event that Posthorn itself publishes about a webhook.
type operational struct {
	Type string `json:"type"`
	Data struct {
		Webhook struct {
			ID     string `json:"id"`
			Status string `json:"status"`
		} `json:"webhook"`
		FailedAttempts int `json:"failed_attempts"`
		Threshold      int `json:"threshold"`
	} `json:"data"`
}

func failingWebhookIsLookedAfter(x *tenant) {
	r := harness.NewReceiver(x, harness.Status(http.StatusInternalServerError))
	w := x.hook(r.URL, object{"name": "Warehouse", "retry": object{"max": 0}, "event_types": []string{"order.*"}})
	observer := harness.NewReceiver(x, nil)
	observing := x.hook(observer.URL, object{"event_types": []string{"webhook.warning", "webhook.deactivated"}})
	rest := harness.NewReceiver(x, nil)
	x.hook(rest.URL, object{"event_types": []string{"webhook.delivery.*", "webhook.enabled"}})
	// failUpTo publishes until so many receptions have failed, and waits for the mail about it.
	mails := 0
	failUpTo := func(count int, subject string) {
		x.Helper()
		for n := x.webhook(w.ID).FailedAttempts; n < count; n++ {
			x.publish(n)
		}
		mails++
		got := x.world.mails.await(x, x.admin, mails)
		require.Contains(x, got[mails-1].Subject, subject)
		require.Contains(x, got[mails-1].Text, "Warehouse")
		require.Contains(x, got[mails-1].Text, fmt.Sprintf("%d of %d", count, threshold))
		x.awaitAll(w, "failed", count)
	}

	failUpTo(threshold/2, "failing")
	require.Equal(x, "active", x.webhook(w.ID).Status)
	failUpTo(threshold*9/10, "failing")
	failUpTo(threshold, "deactivated")

	after := x.awaitStatus(w.ID, "deactivated")
	require.Equal(x, threshold, after.FailedAttempts)
	require.Equal(x, http.StatusInternalServerError, *after.LastFailure.StatusCode)
	require.Contains(x, after.StatusReason, "20 receptions failed")
	for i, want := range []struct {
		kind, status string
		failed       int
	}{{"webhook.warning", "active", 10}, {"webhook.warning", "active", 18}, {"webhook.deactivated", "deactivated", 20}} {
		p := observer.Await(x, i+1)[i]
		require.NoError(x, p.Verify(observing.Secret))
		var told operational
		require.NoError(x, json.Unmarshal(p.Body, &told))
		require.Equal(x, want.kind, told.Type)
		require.Equal(x, w.ID, told.Data.Webhook.ID)
		require.Equal(x, want.status, told.Data.Webhook.Status)
		require.Equal(x, want.failed, told.Data.FailedAttempts)
		require.Equal(x, threshold, told.Data.Threshold)
	}

	r.SetAnswer(nil)
	held := x.publishMany(5)
	for _, id := range held {
		require.Equal(x, "held", x.only(id).Status)
	}
	require.Len(x, r.Posts(), threshold, "nothing is sent to a deactivated webhook")

	reply := harness.Read[struct {
		harness.Webhook
		Recovery harness.Recovery `json:"recovery"`
	}](x, x.act(w, "enable", object{"recover": true}))
	require.Equal(x, "active", reply.Status)
	require.Zero(x, reply.FailedAttempts)
	x.awaitRecovery(reply.Recovery.ID, threshold+len(held))
	x.awaitAll(w, "delivered", threshold+len(held))
	require.Len(x, r.Posts(), 2*threshold+len(held))
	harness.Until(x, func() error {
		missing := map[string]bool{"webhook.delivery.failed": true, "webhook.enabled": true, "webhook.delivery.recovered": true}
		for _, p := range rest.Posts() {
			var told operational
			require.NoError(x, json.Unmarshal(p.Body, &told))
			require.Equal(x, w.ID, told.Data.Webhook.ID)
			delete(missing, told.Type)
		}
		if len(missing) > 0 {
			return fmt.Errorf("no event yet of the types %v", missing)
		}
		return nil
	})
}
