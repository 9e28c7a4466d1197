package app

import (
	"context"

	"github.com/posthorn/posthorn/internal/config"
	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/workflows"
)

// direct reports whether deliveries that are received at once get no workflow.
func (o *Options) direct() bool {
	return o.Config.Workflows == config.WorkflowsOfRetries && o.attemptsFirst()
}

// attemptsFirst reports whether the process makes first attempts of the events that it accepts: it has a worker. If it can
// do so at once, it makes them outside of workflows.
func (o *Options) attemptsFirst() bool { return o.API && o.Worker }

// firstAttempts makes first attempts outside of workflows. The Courier that it uses is created after the engine.
type firstAttempts App

var _ engine.First = (*firstAttempts)(nil)

// AtOnce implements engine.First.
func (f *firstAttempts) AtOnce(ctx context.Context, work []handoff.Work) bool {
	return f.makes.Courier.AtOnce(ctx, work)
}

// Direct implements engine.First.
func (f *firstAttempts) Direct(ctx context.Context, dispatchID string, work []handoff.Work, show handoff.Show) (workflows.Round, error) {
	return f.makes.Direct(ctx, dispatchID, work, show)
}

// Ahead implements engine.First.
func (f *firstAttempts) Ahead(ctx context.Context, dispatchID string, work []handoff.Work) (workflows.Round, error) {
	return f.makes.Ahead(ctx, dispatchID, work)
}
