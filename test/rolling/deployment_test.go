package rolling

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/posthorn/posthorn/test/harness"
)

// versionsRun has two builds work side by side as versions of a Worker Deployment. A dispatch ends in the version that it
// began in; a new one begins in the current version; the health of a webhook goes over to it.
func versionsRun(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	upgraded := programs.Variant(t, "upgraded", "upgrade")
	i := install(t, temporal)
	deployment := "posthorn-" + i.Setting("POSTHORN_TASK_QUEUE")
	i.Env = append(i.Env, "POSTHORN_DEPLOYMENT="+deployment)
	for k, s := range i.processes {
		s.Stop(t)
		i.processes[k] = s.Again(t, "POSTHORN_DEPLOYMENT="+deployment)
	}
	c := harness.DialTemporal(t, temporal.Addr)
	current := func(build string) {
		harness.Until(t, func() error { // the version is known when a worker of it has polled
			_, err := c.WorkerDeploymentClient().GetHandle(deployment).SetCurrentVersion(t.Context(), client.WorkerDeploymentSetCurrentVersionOptions{BuildID: build})
			return err
		})
	}
	behavior := func(workflow string) (enums.VersioningBehavior, string) {
		d, err := c.DescribeWorkflowExecution(t.Context(), workflow, "")
		require.NoError(t, err)
		info := d.GetWorkflowExecutionInfo().GetVersioningInfo()
		return info.GetBehavior(), info.GetDeploymentVersion().GetBuildId()
	}
	current("under-test")

	x := harness.NewTenant(t, harness.API{URL: i.balancer.URL, Key: i.AdminKey})
	r := harness.NewReceiver(t, harness.Status(http.StatusInternalServerError))
	w := x.Hook(t, r.URL, harness.Retries(100, "1s"))
	publish := func(n int) harness.Delivery {
		reply := x.Call(t, http.StatusAccepted, "POST "+x.Path("/events"), harness.Object{"type": "order.created", "data": harness.Object{"order": n}})
		id := harness.Read[harness.Accepted](t, reply).ID
		return harness.Get[harness.List[harness.Delivery]](t, x.API, x.Path("/deliveries?event_id="+id)).Data[0]
	}
	await := func(d harness.Delivery, what string, is func(harness.Timeline) bool) (now harness.Timeline) {
		harness.Until(t, func() error {
			if now = harness.Get[harness.Timeline](t, x.API, x.Path("/deliveries/"+d.ID)); !is(now) {
				return fmt.Errorf("%s is %s after %d attempts, and not %s", d.ID, now.Status, len(now.Attempts), what)
			}
			return nil
		})
		return now
	}
	tried := func(n int) func(harness.Timeline) bool {
		return func(d harness.Timeline) bool { return len(d.Attempts) >= n }
	}
	first := publish(1)
	began := await(first, "tried", tried(1))
	how, build := behavior(began.WorkflowID)
	require.Equal(t, enums.VERSIONING_BEHAVIOR_PINNED, how)
	require.Equal(t, "under-test", build)

	next := harness.Installation{Programs: &harness.Programs{Lean: upgraded}, AdminKey: i.AdminKey, Env: i.Env}
	next.Migrate(t)
	next.Start(t, "worker")
	current("upgraded")
	second := await(publish(2), "tried", tried(1))
	_, build = behavior(second.WorkflowID)
	require.Equal(t, "upgraded", build)
	await(first, "tried again", tried(len(began.Attempts)+2))
	_, build = behavior(began.WorkflowID)
	require.Equal(t, "under-test", build, "a dispatch ends where it began")
	harness.Until(t, func() error {
		how, build := behavior(i.WatchID(w.ID))
		if how != enums.VERSIONING_BEHAVIOR_AUTO_UPGRADE || build != "upgraded" {
			return fmt.Errorf("the webhook's health is %s in %s", how, build)
		}
		return nil
	})

	r.SetAnswer(nil)
	for _, d := range []harness.Delivery{first, second.Delivery} {
		await(d, "delivered", func(d harness.Timeline) bool { return d.Status == "delivered" })
	}
}
