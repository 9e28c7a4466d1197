package app

import (
	"context"

	"github.com/posthorn/posthorn/internal/config"
	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/workflows"
)

// direct reports whether the process makes first attempts without a workflow: it accepts events and has a worker.
func (o *Options) direct() bool {
	return o.Config.Workflows == config.WorkflowsOfRetries && o.API && o.Worker
}

// firstAttempts makes first attempts without a workflow. The Courier that it uses is created after the engine.
type firstAttempts App

var _ engine.First = (*firstAttempts)(nil)

// AtOnce implements engine.First.
func (f *firstAttempts) AtOnce(ctx context.Context, work []handoff.Work) bool {
	return f.makes.Courier.AtOnce(ctx, work)
}

// Direct implements engine.First.
func (f *firstAttempts) Direct(ctx context.Context, dispatchID string, work []handoff.Work) (workflows.Round, error) {
	return f.makes.Direct(ctx, dispatchID, work)
}
