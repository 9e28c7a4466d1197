package worker

import (
	sdk "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/posthorn/posthorn/workflows"
)

// Deployment names this build among the versions of a Temporal Worker Deployment. Without a Name workers are not
// versioned: any of them may get any workflow.
type Deployment struct {
	Name    string
	BuildID string
}

func (d Deployment) options() sdk.DeploymentOptions {
	if d.Name == "" {
		return sdk.DeploymentOptions{}
	}
	return sdk.DeploymentOptions{UseVersioning: true, Version: sdk.WorkerDeploymentVersion{DeploymentName: d.Name, BuildID: d.BuildID}}
}

// stories are the workflows, with what happens to a running one when another version becomes current. A dispatch is
// short, and ends in the version in which it began. The others may run for months: they move over at their next task.
var stories = map[string]struct {
	run      any
	behavior workflow.VersioningBehavior
}{
	workflows.DeliverType: {workflows.Deliver, workflow.VersioningBehaviorPinned},
	workflows.WatchType:   {workflows.WatchWebhook, workflow.VersioningBehaviorAutoUpgrade},
	workflows.RecoverType: {workflows.Recover, workflow.VersioningBehaviorAutoUpgrade},
	workflows.RetainType:  {workflows.Retain, workflow.VersioningBehaviorAutoUpgrade},
}
