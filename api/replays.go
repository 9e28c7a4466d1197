package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Replayed is the result of starting a replay: the deliveries, or the recovery that makes them.
type Replayed struct {
	ID         string     `json:"id,omitempty" doc:"The recovery that sends it, if it goes to more than 100 webhooks." example:"rec_0198c0de-0000-7000-8000-000000000003"`
	Deliveries []Delivery `json:"deliveries,omitzero" required:"false" doc:"One for each webhook; absent if a recovery makes them."`
}

type replayEvent struct {
	OfTenant
	ID   string `path:"id" doc:"The event's id."`
	Body *struct {
		WebhookIDs []string `json:"webhook_ids,omitempty" doc:"Only these webhooks, by id or uid, at most 1,000. Default: all that match the event now."`
	} `nameHint:"ReplayInput"`
}

func (s *server) replays() {
	handle(s, owners, huma.Operation{
		OperationID: "replay-event", Method: http.MethodPost, Path: eventPath + "/replay", Tags: []string{tagEvents}, Summary: "Send an event again",
		Description: "Sends it to the named webhooks, or to all that match it now, including those that did not exist when it was accepted. An existing delivery keeps its id and starts its schedule again. " +
			"Pending deliveries are left alone. For a webhook that is not active the delivery is held. For more than 100 webhooks a recovery does it.",
		DefaultStatus: http.StatusAccepted,
	}, s.replayEvent)
}

func (s *server) replayEvent(ctx context.Context, in *replayEvent) (*answer[Replayed], error) {
	var only []string
	if in.Body != nil {
		only = in.Body.WebhookIDs
	}
	deliveries, recovery, err := s.Service.Replay(ctx, in.Tenant, in.ID, only)
	switch {
	case err != nil:
		return nil, err
	case recovery != nil:
		return answerWith(Replayed{ID: recovery.ID}), nil
	}
	page, err := s.deliveriesView(ctx, deliveries, "")
	if err != nil { // the event is on its way: an incomplete answer is better than an error
		s.Log.WarnContext(ctx, "last attempts not read", "error", err)
	}
	return answerWith(Replayed{Deliveries: page.Data}), nil
}
