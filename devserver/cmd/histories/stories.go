package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

const (
	eventType = "order.created"
	queue     = "posthorn"

	// payload and secretHeader must not appear in any history, nor may secretPath or a signing secret.
	payload      = `{"secret":"secret-payload"}`
	secretHeader = "secret-header"
)

var queues = workflows.NewQueues(queue)

// stage is the installation in which the stories play.
type stage struct {
	hooks     *service.Service
	temporal  client.Client
	receivers string
}

// told is a run of a workflow, and the file for its history.
type told struct{ file, workflowID, runID string }

// story plays in a tenant with the story's name. It returns the runs whose histories are kept.
type story func(ctx context.Context, tenant string) ([]told, error)

func (s *stage) stories() map[string]story {
	return map[string]story{
		"deliver-received":      s.received,
		"deliver-slow":          s.slow,
		"deliver-retried":       s.retried,
		"deliver-exhausted":     s.exhausted,
		"deliver-mixed":         s.mixed,
		"deliver-over-cap":      s.overCap,
		"deliver-in-turn":       s.inTurn,
		"deliver-together":      s.together,
		"deliver-paused":        s.paused,
		"deliver-gone":          s.gone,
		"deliver-canceled":      s.canceled,
		"deliver-at-rate":       s.atRate,
		"deliver-for-slot":      s.inTurn,
		"deliver-rate-and-slot": s.atRateInTurn,
		"deliver-mass-hold":     s.massHold,
		"watch":                 s.watched,
		"recover":               s.recovered,
		"retain":                s.retained,
	}
}

// longStories returns the stories that play where histories count as long early.
func (s *stage) longStories() map[string]story {
	return map[string]story{"deliver-continued": s.continued}
}

// tellAll plays every story, and writes down the histories.
func (s *stage) tellAll(ctx context.Context, directory string, stories map[string]story) error {
	for name, story := range stories {
		if _, _, err := s.hooks.PutTenant(ctx, models.Tenant{ID: name, Name: name, AdminEmails: []string{"ops@" + name + ".example"}}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		runs, err := story(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, run := range runs {
			if err := s.write(ctx, directory, run); err != nil {
				return fmt.Errorf("%s: %w", run.file, err)
			}
		}
	}
	return nil
}

// hook registers a receiver that acts as its name says. The retries begin after initial.
func (s *stage) hook(ctx context.Context, tenant, acts string, initial time.Duration, retries int) (models.Webhook, error) {
	url := s.receivers + acts
	w, _, err := s.hooks.CreateWebhook(ctx, tenant, service.WebhookChange{URL: &url, Retry: &models.Retry{Initial: initial, Max: &retries},
		Headers: &map[string]string{"X-Key": secretHeader}, By: "histories"})
	return w, err
}

// publish publishes an event and returns the id of its workflow.
func (s *stage) publish(ctx context.Context, tenant string) (workflowID string, err error) {
	published, err := s.hooks.Publish(ctx, tenant, service.PublishRequest{Events: []service.EventInput{{Type: eventType, Data: []byte(payload)}}})
	if err != nil {
		return "", err
	}
	return published[0].WorkflowID, nil
}

// end waits for a workflow to end. It may not have been started yet.
func (s *stage) end(ctx context.Context, id string) error {
	return until(ctx, func() (bool, error) {
		err := s.temporal.GetWorkflow(ctx, id, "").Get(ctx, nil)
		var missing *serviceerror.NotFound
		return err == nil, ignore(err, errors.As(err, &missing))
	})
}

// ignore returns err, unless it is to be ignored.
func ignore(err error, ignored bool) error {
	if ignored {
		return nil
	}
	return err
}

// deliver publishes an event to one receiver and waits for its workflow to end.
func (s *stage) deliver(ctx context.Context, tenant, acts string, retries int) ([]told, error) {
	if _, err := s.hook(ctx, tenant, acts, 100*time.Millisecond, retries); err != nil {
		return nil, err
	}
	id, err := s.publish(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return []told{{tenant, id, ""}}, s.end(ctx, id)
}

func (s *stage) received(ctx context.Context, tenant string) ([]told, error) {
	return s.deliver(ctx, tenant, "receives", 3)
}

// slow has a receiver whose workflow starts during its first attempt.
func (s *stage) slow(ctx context.Context, tenant string) ([]told, error) {
	return s.deliver(ctx, tenant, "slow", 3)
}

func (s *stage) retried(ctx context.Context, tenant string) ([]told, error) {
	return s.deliver(ctx, tenant, "fails-twice", 3)
}

func (s *stage) exhausted(ctx context.Context, tenant string) ([]told, error) {
	return s.deliver(ctx, tenant, "fails", 2)
}

func (s *stage) gone(ctx context.Context, tenant string) ([]told, error) {
	return s.deliver(ctx, tenant, "gone-then", 3)
}

// mixed is received by nine of ten webhooks at once, and by the tenth after two retries.
func (s *stage) mixed(ctx context.Context, tenant string) ([]told, error) {
	for range 9 {
		if _, err := s.hook(ctx, tenant, "receives", time.Second, 3); err != nil {
			return nil, err
		}
	}
	return s.deliver(ctx, tenant, "fails-twice", 3)
}

// retrying publishes an event to a receiver that fails, and waits until its first attempt has been made.
func (s *stage) retrying(ctx context.Context, tenant string, initial time.Duration) (workflowID string, d models.Delivery, err error) {
	if _, err := s.hook(ctx, tenant, "fails", initial, 3); err != nil {
		return "", d, err
	}
	if workflowID, err = s.publish(ctx, tenant); err != nil {
		return "", d, err
	}
	err = until(ctx, func() (bool, error) {
		rows, _, err := s.hooks.Deliveries(ctx, tenant, models.DeliveryFilter{}, models.Page{Limit: 1})
		if err != nil {
			return false, err
		}
		d = rows[0]
		return d.Attempts == 1, nil
	})
	return workflowID, d, err
}

func (s *stage) paused(ctx context.Context, tenant string) ([]told, error) {
	id, d, err := s.retrying(ctx, tenant, 2*time.Second)
	if err != nil {
		return nil, err
	}
	if _, err := s.hooks.PauseDelivery(ctx, tenant, d.ID); err != nil {
		return nil, err
	}
	return []told{{tenant, id, ""}}, s.end(ctx, id)
}

// canceled is canceled by hand in the Web UI.
func (s *stage) canceled(ctx context.Context, tenant string) ([]told, error) {
	id, _, err := s.retrying(ctx, tenant, time.Hour)
	if err != nil {
		return nil, err
	}
	// Its first workflow task has ended when the timer of the retry stands in its history.
	err = until(ctx, func() (bool, error) {
		d, err := s.temporal.DescribeWorkflowExecution(ctx, id, "")
		return d.GetWorkflowExecutionInfo().GetHistoryLength() > 4, err
	})
	if err != nil {
		return nil, err
	}
	if err := s.temporal.CancelWorkflow(ctx, id, ""); err != nil {
		return nil, err
	}
	err = s.temporal.GetWorkflow(ctx, id, "").Get(ctx, nil)
	if _, ok := errors.AsType[*temporal.CanceledError](err); !ok {
		return nil, fmt.Errorf("it was not canceled: %w", err)
	}
	return []told{{tenant, id, ""}}, nil
}

// watched is a webhook that fails until it is deactivated, and is then deleted. Meanwhile it gets more signals than one
// run takes.
func (s *stage) watched(ctx context.Context, tenant string) ([]told, error) {
	w, err := s.hook(ctx, tenant, "fails", time.Second, 0)
	if err != nil {
		return nil, err
	}
	id := queues.WatchID(w.ID)
	if err := s.fail(ctx, tenant, threshold/2); err != nil {
		return nil, err
	}
	var first string
	err = until(ctx, func() (bool, error) {
		d, err := s.temporal.DescribeWorkflowExecution(ctx, id, "")
		var missing *serviceerror.NotFound
		first = d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
		return err == nil, ignore(err, errors.As(err, &missing))
	})
	if err != nil {
		return nil, err
	}
	if err := s.burst(ctx, id, 510); err != nil {
		return nil, err
	}
	err = s.temporal.GetWorkflow(ctx, id, first).GetWithOptions(ctx, nil, client.WorkflowRunGetOptions{DisableFollowingRuns: true})
	if _, ok := errors.AsType[*workflow.ContinueAsNewError](err); !ok {
		return nil, fmt.Errorf("it did not continue as new: %w", err)
	}
	if err := s.fail(ctx, tenant, threshold-threshold/2); err != nil {
		return nil, err
	}
	err = until(ctx, func() (bool, error) {
		now, err := s.hooks.Webhook(ctx, tenant, w.ID)
		if err != nil || now.Status != models.WebhookDeactivated {
			return false, err
		}
		unsent, err := s.hooks.Store.UnsentNotifications(ctx, w.ID)
		return len(unsent) == 0, err
	})
	if err != nil {
		return nil, err
	}
	d, err := s.temporal.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return nil, err
	}
	second := d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	if _, err := s.hooks.DeleteWebhook(ctx, tenant, w.ID); err != nil {
		return nil, err
	}
	if err := s.temporal.SignalWorkflow(ctx, id, "", workflows.JudgeSignal, nil); err != nil {
		return nil, err
	}
	return []told{{"watch-continued", id, first}, {"watch-deactivated", id, second}}, s.temporal.GetWorkflow(ctx, id, second).Get(ctx, nil)
}

// burst sends n signals, some at a time.
func (s *stage) burst(ctx context.Context, workflowID string, n int) error {
	var g errgroup.Group
	g.SetLimit(32)
	for range n {
		g.Go(func() error { return s.temporal.SignalWorkflow(ctx, workflowID, "", workflows.JudgeSignal, nil) })
	}
	return g.Wait()
}

// fail makes n receptions fail.
func (s *stage) fail(ctx context.Context, tenant string, n int) error {
	for range n {
		id, err := s.publish(ctx, tenant)
		if err != nil {
			return err
		}
		if err := s.end(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// recovered releases two pages of held deliveries.
func (s *stage) recovered(ctx context.Context, tenant string) ([]told, error) {
	w, err := s.hook(ctx, tenant, "receives", time.Second, 3)
	if err != nil {
		return nil, err
	}
	if _, err := s.hooks.Disable(ctx, tenant, w.ID, "", "histories"); err != nil {
		return nil, err
	}
	batch := make([]service.EventInput, 300)
	for i := range batch {
		batch[i] = service.EventInput{Type: eventType, Data: []byte(payload)}
	}
	if _, err := s.hooks.Publish(ctx, tenant, service.PublishRequest{Events: batch, Batch: true}); err != nil {
		return nil, err
	}
	if _, err := s.hooks.Enable(ctx, tenant, w.ID, "histories"); err != nil {
		return nil, err
	}
	r, err := s.hooks.Recover(ctx, tenant, w.ID, service.RecoveryRequest{})
	if err != nil {
		return nil, err
	}
	err = until(ctx, func() (bool, error) {
		now, err := s.hooks.Recovery(ctx, tenant, r.ID)
		return now.Status == models.RecoveryDone, err
	})
	if err != nil {
		return nil, err
	}
	id := queues.RecoverID(r.ID)
	return []told{{tenant, id, ""}}, s.end(ctx, id)
}

func (s *stage) retained(ctx context.Context, tenant string) ([]told, error) {
	run, err := s.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: tenant, TaskQueue: queues.Main()}, workflows.RetainType)
	if err != nil {
		return nil, err
	}
	return []told{{tenant, run.GetID(), run.GetRunID()}}, run.Get(ctx, nil)
}

// until asks until the answer is yes.
func until(ctx context.Context, ask func() (bool, error)) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		yes, err := ask()
		if yes || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
