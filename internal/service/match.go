package service

import (
	"strings"

	"github.com/posthorn/posthorn/models"
)

// The bounds of the deliveries that one request stores with its events.
const (
	// maxDirect is the most deliveries that are stored together with the events of one request; the rest of a batch
	// fans out.
	maxDirect = 20 * models.FanOutAbove
	// maxFannedOut is the most deliveries of one batch's events that follow in pages. A single event may have more.
	maxFannedOut = 1_000_000
)

// match creates an event's deliveries, or, if they are many, one fan-out from which they follow.
func (a *acceptance) match(v snapshot, e *models.Event) error {
	matched := v.match(e.Type, e.Channels)
	if n := len(matched); n > a.service.fanOutAbove || len(a.request.Deliveries)+n > a.service.maxDirect {
		return a.fanOut(matched, e)
	}
	for _, entry := range matched {
		d := models.Delivery{Tenant: e.Tenant, ID: models.NewID(models.PrefixDelivery), EventID: e.ID, EventType: e.Type,
			WebhookID: entry.webhook.ID, Status: models.Pending, CreatedAt: e.CreatedAt, NextAttemptAt: &e.CreatedAt}
		if status := entry.webhook.Status; status != models.WebhookActive {
			d.Status, d.StatusReason, d.NextAttemptAt = models.Held, models.HeldReason(status), nil
		}
		a.request.Deliveries = append(a.request.Deliveries, d)
	}
	return nil
}

// fanOut records which webhooks the event matches. Events of one type with the same channels in a request share the
// list.
func (a *acceptance) fanOut(matched []*entry, e *models.Event) error {
	if a.reached += len(matched); a.reached > maxFannedOut && len(a.request.FanOuts) > 0 {
		return invalid(FieldError{"events", "match too many webhooks together; publish fewer at once"})
	}
	wanted := strings.Join(append([]string{e.Type}, e.Channels...), " ") // no name of either contains a space
	members, ok := a.members[wanted]
	if !ok {
		ids := make([]string, len(matched))
		for i, entry := range matched {
			ids[i] = entry.webhook.ID
		}
		var err error
		if members, err = models.Members(ids); err != nil {
			return err
		}
		if a.members == nil {
			a.members = map[string][]byte{}
		}
		a.members[wanted] = members
	}
	a.request.FanOuts = append(a.request.FanOuts, models.FanOut{EventID: e.ID, Members: members})
	return nil
}
