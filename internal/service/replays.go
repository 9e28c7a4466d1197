package service

import (
	"context"
	"errors"
	"slices"

	"github.com/posthorn/posthorn/internal/cut"
	"github.com/posthorn/posthorn/models"
)

const (
	// replayedAtOnce is the most webhooks to which a replay sends directly; for more, a recovery does it.
	replayedAtOnce = 100
	// maxReplayed is the most webhooks that one request may name.
	maxReplayed = 1000
)

// Replay sends an event again to the named webhooks, or with nil to all that match it now. It returns the deliveries,
// or, if the webhooks are many, the recovery that creates them.
func (s *Service) Replay(ctx context.Context, tenant, eventID string, webhookIDs []string) ([]models.Delivery, *models.Recovery, error) {
	e, err := s.Event(ctx, tenant, eventID)
	if err != nil {
		return nil, nil, err
	}
	if e.ErasedAt != nil {
		return nil, nil, refuseErased()
	}
	if e.FanningOut {
		return nil, nil, Refuse(Conflict, "the event's deliveries are still being made; retry shortly")
	}
	v, err := s.directory.load(ctx, tenant)
	if err != nil {
		return nil, nil, err
	}
	var ids []string
	if webhookIDs == nil {
		for _, entry := range v.match(e.Type, e.Channels) {
			ids = append(ids, entry.webhook.ID)
		}
	} else if ids, err = s.named(ctx, v, &e, webhookIDs); err != nil {
		return nil, nil, err
	}
	if len(ids) > replayedAtOnce {
		return s.replayLater(ctx, &e, ids)
	}
	deliveries, fresh, err := s.Store.Replay(ctx, tenant, eventID, ids)
	if errors.Is(err, models.ErrErased) {
		return nil, nil, refuseErased()
	}
	if err != nil {
		return nil, nil, known(err, "event")
	}
	s.Engine.Launch(fresh...)
	return deliveries, nil, nil
}

func refuseErased() error { return Refuse(Conflict, "the event's payload has been erased") }

// named returns the webhooks that a replay names by id or uid.
func (s *Service) named(ctx context.Context, v snapshot, e *models.Event, names []string) ([]string, error) {
	var p problems
	if len(names) == 0 || len(names) > maxReplayed {
		p.addf("webhook_ids", "must be 1 to %d; leave it out for all that match", maxReplayed)
		return nil, p.err()
	}
	ids := make([]string, len(names))
	for i, name := range names {
		id, err := s.WebhookID(ctx, e.Tenant, name)
		if err != nil {
			return nil, err
		}
		ids[i] = id
		entry, ok := v.webhooks[id]
		switch {
		case !ok:
			p.addf(index("webhook_ids", i), "there is no such webhook")
		case !entry.webhook.Wants(e.Type):
			p.addf(index("webhook_ids", i), "the webhook is not registered for %s", cut.Text(e.Type, shownName))
		case !entry.webhook.Hears(e.Channels):
			p.addf(index("webhook_ids", i), "the webhook has none of the event's channels")
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(ids))), p.err()
}

// replayLater leaves a replay to a recovery.
func (s *Service) replayLater(ctx context.Context, e *models.Event, ids []string) ([]models.Delivery, *models.Recovery, error) {
	members, err := models.Members(ids)
	if err != nil {
		return nil, nil, err
	}
	r, err := s.recover(ctx, &models.Recovery{Tenant: e.Tenant, EventID: e.ID, Members: members, Statuses: []models.DeliveryStatus{}, EventTypes: []string{}})
	return nil, &r, err
}
