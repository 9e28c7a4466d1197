package e2e

import (
	"fmt"
	"net/http"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/posthorn/posthorn/test/harness"
)

func workflowsAreListed(x *tenant) {
	temporal := harness.DialTemporal(x, x.world.TemporalAddr)
	good, bad := harness.NewReceiver(x, nil), harness.NewReceiver(x, harness.Status(http.StatusInternalServerError))
	receiving := x.hook(good.URL, object{"event_types": []string{"order.created"}})
	failing := x.hook(bad.URL, object{"event_types": []string{"order.paid"}}, harness.Retries(2, "1h"))

	delivered := x.await(x.publish(1).ID, "delivered").WorkflowID
	paid := harness.Read[harness.Accepted](x, x.api.Call(x, http.StatusAccepted, "POST "+x.path("/events"), `{"type":"order.paid","data":{}}`))
	retrying := x.awaitAttempts(paid.ID, 1).WorkflowID
	require.NotEqual(x, delivered, retrying)
	received, all := []string{delivered}, []string{delivered, retrying}
	if delivered == "" { // it was received at once
		require.Equal(x, "retries", x.world.Setting("POSTHORN_WORKFLOWS"))
		received, all = nil, []string{retrying}
	}

	for query, want := range map[string][]string{
		`PosthornTenant = "%s"`:                                              all,
		`PosthornTenant = "%s" AND PosthornStatus = "delivered"`:             received,
		`PosthornTenant = "%s" AND PosthornStatus = "retrying"`:              {retrying},
		`PosthornTenant = "%s" AND PosthornEventType = "order.paid"`:         {retrying},
		`PosthornTenant = "%s" AND PosthornWebhook = "` + receiving.ID + `"`: received,
		`PosthornTenant = "%s" AND PosthornWebhook = "` + failing.ID + `"`:   {retrying},
	} {
		query = fmt.Sprintf(query, x.id) + ` AND WorkflowType = "Deliver"` // the failing webhook has its health workflow as well
		harness.Until(x, func() error {                                    // the list follows the workflows with a delay
			list, err := temporal.ListWorkflow(x.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
			if err != nil {
				return err
			}
			found := map[string]bool{}
			for _, e := range list.GetExecutions() {
				found[e.GetExecution().GetWorkflowId()] = true
			}
			if len(found) != len(want) {
				return fmt.Errorf("%s finds %v, not %v", query, found, want)
			}
			for _, id := range want {
				if !found[id] {
					return fmt.Errorf("%s finds %v, not %v", query, found, want)
				}
			}
			return nil
		})
	}
}
