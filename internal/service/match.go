package service

import (
	"slices"
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
	// laterSets is the most sets of webhooks of one request whose deliveries wait in the database: each is a row, and
	// a transaction of its own later.
	laterSets = 8
)

// match creates an event's deliveries, or, if they are many, one fan-out from which they follow. If much of the tenant
// waits already, those of a batch follow too, when there is room.
func (a *acceptance) match(v snapshot, e *models.Event) error {
	matched := v.match(e.Type, e.Channels)
	if a.later && len(matched) <= a.service.fanOutAbove && slices.ContainsFunc(matched, isActive) && a.matchLater(matched, e) {
		return nil
	}
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

func isActive(e *entry) bool { return e.webhook.Status == models.WebhookActive }

// wanted returns what the webhooks of an event depend on, as a key.
func wanted(e *models.Event) string {
	return strings.Join(append([]string{e.Type}, e.Channels...), " ") // no name of either contains a space
}

// membersOf packs the webhooks that an event matched. Events of a request that want the same share the list.
func (a *acceptance) membersOf(matched []*entry, wanted string) ([]byte, error) {
	if members, ok := a.members[wanted]; ok {
		return members, nil
	}
	ids := make([]string, len(matched))
	for i, entry := range matched {
		ids[i] = entry.webhook.ID
	}
	members, err := models.Members(ids)
	if err != nil {
		return nil, err
	}
	if a.members == nil {
		a.members = map[string][]byte{}
	}
	a.members[wanted] = members
	return members, nil
}

// matchLater adds the event to those of the request that matched the same webhooks and whose deliveries wait in the
// database; false = it cannot, as the request has too many such sets.
func (a *acceptance) matchLater(matched []*entry, e *models.Event) bool {
	key := wanted(e)
	i, ok := a.sets[key]
	if !ok {
		if len(a.sets) == laterSets {
			return false
		}
		members, err := a.membersOf(matched, key)
		if err != nil {
			return false
		}
		if a.sets == nil {
			a.sets = map[string]int{}
		}
		i = len(a.request.Batches)
		a.sets[key] = i
		a.request.Batches = append(a.request.Batches, models.Batch{Tenant: e.Tenant, ID: models.NewID(models.PrefixBatch), CreatedAt: e.CreatedAt, Members: members})
	}
	e.BatchID = a.request.Batches[i].ID
	a.request.Batches[i].Events = append(a.request.Batches[i].Events, e.ID)
	return true
}

// fanOut records which webhooks the event matches.
func (a *acceptance) fanOut(matched []*entry, e *models.Event) error {
	if a.reached += len(matched); a.reached > maxFannedOut && len(a.request.FanOuts) > 0 {
		return invalid(FieldError{"events", "match too many webhooks together; publish fewer at once"})
	}
	members, err := a.membersOf(matched, wanted(e))
	if err != nil {
		return err
	}
	a.request.FanOuts = append(a.request.FanOuts, models.FanOut{EventID: e.ID, Members: members})
	return nil
}
