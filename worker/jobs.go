package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/panics"
	"github.com/posthorn/posthorn/models"
)

// JobStore is the part of models.Store that Jobs needs.
type JobStore interface {
	RunJob(ctx context.Context) (models.Job, models.JobPage, error)
	// LastTraffic returns when this process last accepted an event or recorded an attempt.
	LastTraffic() time.Time
}

// JobEngine is the part of internal/engine that Jobs needs.
type JobEngine interface {
	// LaunchWait starts dispatches. When each was started or given up, it returns how many were started.
	LaunchWait(ctx context.Context, dispatches ...models.Dispatch) (started int)
	// WakeHealth wakes a webhook's health workflow.
	WakeHealth(webhookID string)
}

// Jobs does the pages of large changes: the rows that follow when a webhook with a million deliveries is paused, or a
// tenant is deleted. Every worker runs one, without a leader. It does one page at a time, and steps back while there
// is traffic.
type Jobs struct {
	Store   JobStore
	Engine  JobEngine
	Metrics *metrics.Metrics
	Log     *slog.Logger
	Now     func() time.Time
	// Due has room for one signal, and gets it while a job waits. Without a signal, an idle loop looks again after untilDue.
	Due chan struct{}

	starts chan struct{} // one token for each page whose dispatches are being started
}

const (
	// jobsFailed is the pause after a page that failed.
	jobsFailed = 500 * time.Millisecond
	// trafficFor is how long after the last event or attempt there is traffic to step back for.
	trafficFor = 500 * time.Millisecond
	// stepBack: while there is traffic, the next page waits this many times as long as the last one took.
	stepBack = 2
)

// pagesStarting is how many pages' dispatches are started at once. A slow Temporal delays fan-outs, and no other job.
const pagesStarting = 4

// Run does pages until ctx ends.
func (j *Jobs) Run(ctx context.Context) {
	j.starts = make(chan struct{}, pagesStarting)
	for ctx.Err() == nil {
		wait := jobsFailed // after a panic
		panics.Safely("a page of a job", func() { wait = j.page(ctx) })
		rest(ctx, wait, j.Due)
	}
}

// page does one page and returns how long to rest before the next.
func (j *Jobs) page(ctx context.Context) time.Duration {
	began := j.Now()
	job, page, err := j.Store.RunJob(ctx)
	took := j.Now().Sub(began)
	switch {
	case err != nil && ctx.Err() != nil:
		return 0
	case err != nil:
		j.Log.WarnContext(ctx, "a page of a job failed; it is made again later", "job", job.ID, "kind", job.Kind, "error", err)
		return jobsFailed
	case job.ID == "":
		return untilDue
	}
	j.Metrics.JobRows.WithLabelValues(string(job.Kind)).Add(float64(max(0, page.Rows)))
	for _, id := range page.Judge {
		j.Engine.WakeHealth(id)
	}
	if len(page.Fresh) > 0 {
		j.starts <- struct{}{}
		go func() {
			defer func() { <-j.starts }()
			panics.Safely("the start of a page's dispatches", func() { j.Engine.LaunchWait(ctx, page.Fresh...) })
		}()
	}
	if page.Done {
		j.Log.InfoContext(ctx, "job done", "job", job.ID, "kind", job.Kind, "tenant", job.Tenant, "webhook", job.WebhookID, "rows", job.Touched)
	}
	if j.Now().Sub(j.Store.LastTraffic()) < trafficFor {
		return stepBack * took
	}
	return 0
}
