package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
)

// A shared dispatch leaves out deliveries to webhooks that are no longer active, and asks for each webhook once.
func TestSendable_ASharedDispatchLeavesOutWhatIsNotSendable(t *testing.T) {
	t.Parallel()
	asked := map[string]int{}
	e := &Engine{ctx: t.Context()}
	e.Sendable = func(_ context.Context, _, webhook string) bool {
		asked[webhook]++
		return webhook != "dead"
	}
	var group []handoff.Work
	for _, webhook := range []string{"dead", "alive", "dead", "alive", "dead"} {
		group = append(group, handoff.Work{Delivery: models.Delivery{Tenant: "acme", WebhookID: webhook}})
	}
	require.Len(t, e.sendable(group), 2)
	require.Equal(t, map[string]int{"dead": 1, "alive": 1}, asked)
	e.Sendable = nil
	require.Len(t, e.sendable(group), len(group))
}

// A crowd's dispatches are started slowly only while another tenant publishes.
func TestSendable_ACrowdStepsBackForAnotherTenant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{ctx: t.Context()}
		e.GroupMax = 2
		for range 5 {
			e.waiting.add(handoff.Work{Delivery: models.Delivery{Tenant: "crowd", WebhookID: "w"}})
		}
		crowd := map[string]bool{"crowd": true}
		e.lately.Note("crowd", time.Now())
		require.False(t, e.crowdsOut(crowd), "it is alone")
		e.lately.Note("neighbour", time.Now())
		require.True(t, e.crowdsOut(crowd))
		require.False(t, e.crowdsOut(map[string]bool{"neighbour": true}), "it is no crowd")
		time.Sleep(time.Second)
		require.False(t, e.crowdsOut(crowd))
	})
}
