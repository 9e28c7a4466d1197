package main

import (
	"context"
	"errors"
	"time"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// overCap is a shared dispatch whose deliveries partly go to the fair lane.
func (s *stage) overCap(ctx context.Context, tenant string) ([]told, error) {
	if _, err := s.hook(ctx, tenant, "slow", time.Second, 3); err != nil {
		return nil, err
	}
	return s.share(ctx, tenant, 24, models.Delivered) // a webhook gets 16 first attempts at once
}

// inTurn is a shared dispatch to a webhook that takes one POST at a time. Deliveries that find it busy are put off,
// some of them several times.
func (s *stage) inTurn(ctx context.Context, tenant string) ([]told, error) {
	w, err := s.hook(ctx, tenant, "slow", time.Second, 3)
	if err != nil {
		return nil, err
	}
	one := 1
	if _, err := s.hooks.UpdateWebhook(ctx, tenant, w.ID, service.WebhookChange{MaxInFlight: &one, By: "histories"}); err != nil {
		return nil, err
	}
	return s.share(ctx, tenant, 4, models.Delivered)
}

// atRate is a shared dispatch to a webhook that takes two deliveries a second: they are put off, and called together.
func (s *stage) atRate(ctx context.Context, tenant string) ([]told, error) {
	return s.limited(ctx, tenant, 2, 0)
}

// atRateInTurn is the same with one POST at a time.
func (s *stage) atRateInTurn(ctx context.Context, tenant string) ([]told, error) {
	return s.limited(ctx, tenant, 2, 1)
}

func (s *stage) limited(ctx context.Context, tenant string, rate float64, inFlight int) ([]told, error) {
	w, err := s.hook(ctx, tenant, "receives", time.Second, 3)
	if err != nil {
		return nil, err
	}
	if _, err := s.hooks.UpdateWebhook(ctx, tenant, w.ID, service.WebhookChange{RateLimit: &rate, MaxInFlight: &inFlight, By: "histories"}); err != nil {
		return nil, err
	}
	return s.share(ctx, tenant, 6, models.Delivered)
}

// massHold is a shared dispatch that is open when its webhook is deactivated. The deliveries that wait for a retry are
// held.
func (s *stage) massHold(ctx context.Context, tenant string) ([]told, error) {
	if _, err := s.hook(ctx, tenant, "fails", 3*time.Second, 3); err != nil {
		return nil, err
	}
	return s.share(ctx, tenant, threshold+4, models.Held)
}

// continued is a shared dispatch whose deliveries fail until its history is long, and are received in the next run.
func (s *stage) continued(ctx context.Context, tenant string) ([]told, error) {
	url := s.receivers + "fails-often"
	retries := 20
	_, _, err := s.hooks.CreateWebhook(ctx, tenant, service.WebhookChange{URL: &url, Headers: &map[string]string{"X-Key": secretHeader},
		Retry: &models.Retry{Initial: 500 * time.Millisecond, Backoff: 1, Max: &retries}, By: "histories"})
	if err != nil {
		return nil, err
	}
	runs, err := s.share(ctx, tenant, 6, models.Delivered)
	if err != nil {
		return nil, err
	}
	d, err := s.temporal.DescribeWorkflowExecution(ctx, runs[0].workflowID, "")
	if err != nil {
		return nil, err
	}
	first, last := d.GetWorkflowExecutionInfo().GetFirstRunId(), d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	if first == last {
		return nil, errors.New("it did not continue as new")
	}
	return []told{{tenant, runs[0].workflowID, first}, {"deliver-carried", runs[0].workflowID, last}}, nil
}

// together is a shared dispatch whose deliveries fail together and are retried together.
func (s *stage) together(ctx context.Context, tenant string) ([]told, error) {
	if _, err := s.hook(ctx, tenant, "fails-twice", 2*time.Second, 3); err != nil {
		return nil, err
	}
	return s.share(ctx, tenant, 6, models.Delivered)
}

// share publishes events that share a workflow. It waits until the workflow ends with all deliveries in the expected
// status.
func (s *stage) share(ctx context.Context, tenant string, events int, become models.DeliveryStatus) ([]told, error) {
	batch := make([]service.EventInput, events)
	for i := range batch {
		batch[i] = service.EventInput{Type: eventType, Data: []byte(payload)}
	}
	if _, err := s.hooks.Publish(ctx, tenant, service.PublishRequest{Events: batch, Batch: true}); err != nil {
		return nil, err
	}
	var last models.Delivery
	err := until(ctx, func() (bool, error) {
		rows, _, err := s.hooks.Deliveries(ctx, tenant, models.DeliveryFilter{Status: become}, models.Page{Limit: events})
		if err == nil && len(rows) == events {
			last = rows[0]
		}
		return len(rows) == events, err
	})
	if err != nil {
		return nil, err
	}
	id := queues.DeliverID(last.DispatchID)
	return []told{{tenant, id, ""}}, s.end(ctx, id)
}
