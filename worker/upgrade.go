//go:build upgrade

package worker

import (
	"time"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
)

// This build is a later version for test/rolling: each workflow that begins in it takes a step that workflows of the
// previous version do not have.
func init() { interceptors = append(interceptors, &laterVersion{}) }

type laterVersion struct {
	interceptor.WorkerInterceptorBase
}

// InterceptWorkflow implements interceptor.WorkerInterceptor.
func (*laterVersion) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &laterWorkflow{interceptor.WorkflowInboundInterceptorBase{Next: next}}
}

type laterWorkflow struct {
	interceptor.WorkflowInboundInterceptorBase
}

// ExecuteWorkflow implements interceptor.WorkflowInboundInterceptor.
func (w *laterWorkflow) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	if workflow.GetVersion(ctx, "upgrade", workflow.DefaultVersion, 1) == 1 {
		if err := workflow.Sleep(ctx, time.Millisecond); err != nil {
			return nil, err
		}
	}
	return w.Next.ExecuteWorkflow(ctx, in)
}
