package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Replayed is what a replay has begun: the deliveries, or the recovery that makes them.
type Replayed struct {
	ID         string     `json:"id,omitempty" doc:"The recovery that sends it, if it goes to more than 100 webhooks." example:"rec_0198c0de-0000-7000-8000-000000000003"`
	Deliveries []Delivery `json:"deliveries,omitzero" required:"false" doc:"One for each webhook; absent where there is a recovery."`
}

type replayEvent struct {
	OfTenant
	ID   string `path:"id" doc:"The event's id."`
	Body *struct {
		WebhookIDs []string `json:"webhook_ids,omitempty" doc:"Only to these, by their ids or uids, at most 1,000; default: to all that match it now."`
	} `nameHint:"ReplayInput"`
}

func (s *server) replays() {
	handle(s, owners, huma.Operation{
		OperationID: "replay-event", Method: http.MethodPost, Path: eventPath + "/replay", Tags: []string{tagEvents}, Summary: "Send an event again",
		Description: "To the webhooks named, or to all that match it now, also to those that did not exist when it was accepted. A webhook's delivery of it keeps its id and starts its schedule again. " +
			"What is pending is left alone; a webhook that is not active gets it held. To more than 100 webhooks it is sent by a recovery.",
		DefaultStatus: http.StatusAccepted,
	}, s.replayEvent)
}

func (s *server) replayEvent(ctx context.Context, in *replayEvent) (*answer[Replayed], error) {
	var only []string
	if in.Body != nil {
		only = in.Body.WebhookIDs
	}
	deliveries, recovery, err := s.Hooks.Replay(ctx, in.Tenant, in.ID, only)
	switch {
	case err != nil:
		return nil, err
	case recovery != nil:
		return answerWith(Replayed{ID: recovery.ID}), nil
	}
	page, err := s.deliveriesView(ctx, deliveries, "")
	if err != nil { // the event is on its way: what is shown of it is not worth an error
		s.Log.WarnContext(ctx, "last attempts not read", "error", err)
	}
	return answerWith(Replayed{Deliveries: page.Data}), nil
}
