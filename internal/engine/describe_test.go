package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// An engineer with only the Web UI sees the deliveries and their webhooks, and finds the way back (C4).
func TestDescribe_TheWebUINamesWhatIsDeliveredToWhom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup(func(o *engine.Options) {
			o.ConsoleURL = "https://hooks.example/console"
			o.Named = func(_, id string) (name, host string) { return "Shop " + id[3:], "shop.example" }
		})
		start := func(work []handoff.Work) workflows.DeliverInput {
			d := models.Dispatch{ID: "evt"}
			for i := range work {
				work[i].Delivery.Tenant = "acme~abcdefgh"
				d.Deliveries = append(d.Deliveries, work[i].Delivery.Key())
			}
			require.True(t, e.Reserve(t.Context(), "acme", false))
			e.Start("acme", []models.Dispatch{d}, map[string][]handoff.Work{d.ID: work})
			synctest.Wait()
			return c.inputs[len(c.inputs)-1].(workflows.DeliverInput)
		}
		in := start(work(1))
		require.Equal(t, &workflows.About{What: "order.created of acme to Shop 0 (shop.example)", Tenants: []string{"acme"}, EventTypes: []string{"order.created"},
			Webhooks: []string{"Shop 0 (shop.example), wh_0"}, Deliveries: 1, Console: "https://hooks.example/console"}, in.About)
		require.Equal(t, in.About.What, c.started[0].StaticSummary)
		require.Contains(t, c.started[0].StaticDetails, "- order.created to Shop 0 (shop.example): [dlv_0](https://hooks.example/console/tenants/acme/deliveries/dlv_0)")
		require.NotContains(t, c.started[0].StaticDetails, "~", "tenants are called by their names")

		many := work(30)
		for i := range many {
			many[i].Delivery.EventID = "evt_0"
		}
		in = start(many)
		require.Equal(t, "order.created of acme to 30 webhooks", in.About.What)
		require.Len(t, in.About.Webhooks, 5, "the first few")
		require.Equal(t, 10, strings.Count(c.started[1].StaticDetails, "](https://"))
		require.Contains(t, c.started[1].StaticDetails, "and 20 more")
		e.Close()
	})
}

func TestDescribe_NamesThatSomebodyChoseStayInTheirPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup(func(o *engine.Options) {
			o.Named = func(string, string) (name, host string) {
				return "<b>\n# [x](http://evil.example) | `" + strings.Repeat("ü", 500), "shop.example"
			}
		})
		require.True(t, e.Admit(t.Context(), "acme", 1))
		e.Queue(work(1))
		synctest.Wait()
		e.Close()
		details := c.started[0].StaticDetails
		for _, not := range []string{"<b>", "\n#", "](", "`"} {
			require.NotContains(t, details, not)
		}
		require.Less(t, len(details), 1000)
	})
}

// A workflow with the id of a new dispatch belongs to another installation. Posthorn logs that, and the delivery goes
// out by a workflow with another id (A11).
func TestDescribe_AnIdThatIsTakenIsSaidAndAnotherIsUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &strings.Builder{}
		e, c, o := setup(func(o *engine.Options) { o.Log = logTo(log) })
		c.taken = map[string]bool{"test/deliver/acme/order-1": true}
		require.True(t, own(e, "acme/order-1"))
		synctest.Wait()
		e.Close()
		require.Equal(t, []string{"acme/order-1"}, o.moved)
		require.Equal(t, 1, c.starts())
		require.Equal(t, "test/deliver/acme/order-1/1", c.started[0].ID)
		require.Contains(t, log.String(), "level=ERROR")
		require.Contains(t, log.String(), "test/deliver/acme/order-1")
	})
}
