package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// workOf returns n deliveries of a tenant.
func workOf(tenant string, n int) []handoff.Work {
	all := work(n)
	for i := range all {
		all[i].Delivery.Tenant = tenant
	}
	return all
}

// ownOf starts one event's own dispatch of a tenant, with its work for this process's worker.
func ownOf(t *testing.T, e *engine.Engine, tenant, id string) bool {
	t.Helper()
	if !e.Reserve(t.Context(), tenant, false) {
		return false
	}
	e.Start(tenant, []models.Dispatch{{ID: id, Deliveries: []models.DeliveryKey{{Tenant: tenant, ID: "dlv_" + id}}}},
		map[string][]handoff.Work{id: workOf(tenant, 1)})
	return true
}

func TestSlots_ATenantWithFewEventsHasAWorkflowForEachBesideACrowd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup(func(o *engine.Options) { o.MaxWaiting = 100_000 })
		c.takes = 5 * time.Millisecond
		neighbour := 0
		for i := range 5000 { // a thousand a second, and five
			if !ownOf(t, e, "huge", fmt.Sprint("huge", i)) {
				require.True(t, e.Admit(t.Context(), "huge", 20))
				e.Queue(workOf("huge", 20))
			}
			if i%200 == 0 {
				require.True(t, ownOf(t, e, "small", fmt.Sprint(i)), "event %d", i)
				neighbour++
			}
			time.Sleep(time.Millisecond)
		}
		require.Equal(t, 25, neighbour)
		e.Close()
	})
}

func TestSlots_ManyTenantsWithFewEventsAreACrowdToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, _, o := setup(func(o *engine.Options) { o.Slots = 48 })
		own, n := 0, 0
		for range 5 {
			for tenant := range 1000 { // one event a second each
				name := fmt.Sprint(tenant)
				if n++; e.Reserve(t.Context(), name, false) {
					own++
					e.Start(name, []models.Dispatch{{ID: fmt.Sprint(n), Deliveries: make([]models.DeliveryKey, 1)}}, nil)
				} else {
					require.True(t, e.Admit(t.Context(), name, 1))
					e.Queue(workOf(name, 1))
				}
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		require.Less(t, own, n/4)
		require.Less(t, len(o.written()), 300)
		e.Close()
	})
}

func TestSlots_SlowReceiversOfOneTenantKeepNoSlotFromAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		desk := handoff.NewDesk(1<<20, time.Now)
		e, c, _ := setup(func(o *engine.Options) { o.Desk = desk })
		for i := range slots {
			require.True(t, ownOf(t, e, "slow", fmt.Sprint(i)))
		}
		require.False(t, ownOf(t, e, "slow", "one too many"))
		require.True(t, ownOf(t, e, "small", "a"))
		synctest.Wait()
		require.Equal(t, slots+1, c.starts())
		require.False(t, ownOf(t, e, "small", "b"), "it holds one")
		time.Sleep(300 * time.Millisecond)
		e.Close()
	})
}

func TestSlots_SharedDispatchesOfSlowReceiversKeepNobodyElseWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		desk := handoff.NewDesk(1<<20, time.Now)
		e, _, o := setup(func(o *engine.Options) { o.Desk, o.MaxWaiting = desk, 1<<20 })
		require.True(t, e.Admit(t.Context(), "slow", 100*256))
		e.Queue(workOf("slow", 100*256))
		synctest.Wait()
		busy := len(o.written())
		time.Sleep(100 * time.Millisecond)
		require.Len(t, o.written(), busy, "their receivers are slow")
		require.True(t, e.Admit(t.Context(), "small", 3))
		e.Queue(workOf("small", 3))
		synctest.Wait()
		require.Equal(t, 3, o.written()[busy], "at once, and with no other tenant's among them")
		e.Close()
	})
}

func TestSlots_NobodysDeliveriesGoAmongACrowds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, o := setup(func(o *engine.Options) { o.MaxWaiting = 1 << 20 })
		o.takes = 10 * time.Millisecond
		require.True(t, e.Admit(t.Context(), "huge", 100*256))
		e.Queue(workOf("huge", 100*256))
		for tenant := range 10 {
			name := fmt.Sprint(tenant)
			require.True(t, e.Admit(t.Context(), name, 1))
			e.Queue(workOf(name, 1))
		}
		time.Sleep(30 * time.Millisecond)
		var inputs []workflows.DeliverInput
		for i := range c.starts() {
			inputs = append(inputs, c.inputs[i].(workflows.DeliverInput))
		}
		total := 0
		for _, in := range inputs {
			if in.Tenant != "huge" {
				total += in.Size
			} else {
				require.Equal(t, 256, in.Size)
			}
		}
		require.Equal(t, 10, total, "the others did not wait for a hundred dispatches")
		e.Close()
	})
}

func TestSlots_OneTenantDoesNotTakeAllTheRoomToWaitIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, _, _ := setup() // room for a thousand
		for range 75 {
			require.True(t, e.Admit(t.Context(), "huge", 10))
		}
		require.False(t, e.Admit(t.Context(), "huge", 10), "three quarters")
		require.True(t, e.Admit(t.Context(), "small", 100))
		require.True(t, e.Admit(t.Context(), "other", 150))
		require.False(t, e.Admit(t.Context(), "third", 1), "there is none at all")
		e.Withdraw("other", 150)
		require.True(t, e.Admit(t.Context(), "third", 1))

		for range 75 {
			e.Withdraw("huge", 10)
		}
		require.True(t, e.Admit(t.Context(), "huge", 5000), "a request may be larger than its tenant's part, and counts as that")
		require.True(t, e.Admit(t.Context(), "other", 100))
		require.False(t, e.Admit(t.Context(), "huge", 1))
		e.Withdraw("huge", 5000)
		require.True(t, e.Admit(t.Context(), "huge", 700))
		e.Close()
	})
}
