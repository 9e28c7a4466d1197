package e2e

import (
	"net/http"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

func pauseHolds(x *tenant) {
	r := harness.NewReceiver(x, harness.FailFirst(1))
	w := x.hook(r.URL, harness.Retries(3, "1h"))
	retrying := x.publish(0).ID
	x.awaitAttempts(retrying, 1)

	x.act(w, "pause", nil)
	require.Equal(x, "held", x.only(retrying).Status, "what waits for its retry is held as well")
	ids := x.publishMany(3)
	for _, id := range ids {
		require.Equal(x, "held", x.only(id).Status)
	}
	r.SetAnswer(nil)
	x.act(w, "resume", nil)

	x.awaitAll(w, "delivered", 4)
	require.Equal(x, map[string]int{retrying: 2, ids[0]: 1, ids[1]: 1, ids[2]: 1}, r.Counts())
	require.Equal(x, "active", x.webhook(w.ID).Status)
}

func disabledWaitsForRecover(x *tenant) {
	r := harness.NewReceiver(x, nil)
	w := x.hook(r.URL)
	x.act(w, "disable", object{"reason": "on holiday"})
	require.Equal(x, "on holiday", x.webhook(w.ID).StatusReason)
	ids := x.publishMany(3)

	x.act(w, "enable", nil)
	fresh := x.publish(3).ID
	x.await(fresh, "delivered")
	for _, id := range ids {
		require.Equal(x, "held", x.only(id).Status, "enabling alone releases nothing")
	}

	recovery := harness.Read[harness.Recovery](x, x.act(w, "recover", nil))
	require.Equal(x, 3, recovery.Total)
	x.awaitRecovery(recovery.ID, 3)
	x.awaitAll(w, "delivered", 4)
	require.Equal(x, map[string]int{fresh: 1, ids[0]: 1, ids[1]: 1, ids[2]: 1}, r.Counts())
}

func oneDeliveryIsSteered(x *tenant) {
	r := harness.NewReceiver(x, harness.Status(http.StatusBadGateway))
	x.hook(r.URL, harness.Retries(3, "1h"))
	retried, canceled, paused := x.publish(1).ID, x.publish(2).ID, x.publish(3).ID
	for _, event := range []string{retried, canceled, paused} {
		x.awaitAttempts(event, 1)
	}
	steer := func(event, action string) harness.Timeline { return x.steer(x.only(event).ID, action) }

	require.Equal(x, "canceled", steer(canceled, "cancel").Status)
	require.Equal(x, "held", steer(paused, "pause").Status)
	steer(retried, "retry")
	x.awaitAttempts(retried, 2)

	r.SetAnswer(nil)
	before := steer(retried, "retry")
	require.Len(x, x.await(retried, "delivered").Attempts, 3)
	steer(paused, "resume")
	x.await(paused, "delivered")

	again := steer(retried, "retry")
	require.Equal(x, before.ID, again.ID, "it keeps its id")
	require.NotEqual(x, before.WorkflowID, again.WorkflowID, "and gets a new workflow")
	x.await(retried, "delivered")
	require.Equal(x, map[string]int{retried: 4, canceled: 1, paused: 2}, r.Counts())
	require.Equal(x, "canceled", x.only(canceled).Status)
	x.api.Call(x, http.StatusConflict, "POST "+x.path("/deliveries/"+before.ID+"/cancel"), nil)
}
