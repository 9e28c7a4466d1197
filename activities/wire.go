package activities

import (
	"fmt"
	"strings"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// toWire converts a leftover delivery to its form in histories.
func toWire(l *delivery.Leftover) workflows.Leftover {
	left := workflows.Leftover{Tenant: l.Tenant, Delivery: l.Delivery, EventType: l.EventType, Webhook: l.Webhook, Name: l.Name, Host: l.Host,
		Generation: l.Generation, Number: l.Number, Remaining: l.Remaining, Wait: l.Wait, Timeout: l.Timeout, Last: l.Last,
		Kind: workflows.Kind(l.Kind), Due: l.Due, Lapsed: l.Lapsed}
	if slug := models.TenantSlug(l.Tenant); slug != l.Tenant {
		left.Slug = slug
	}
	return left
}

// fromWire is the inverse of toWire.
func fromWire(l *workflows.Leftover) delivery.Leftover {
	return delivery.Leftover{Tenant: l.Tenant, Delivery: l.Delivery, EventType: l.EventType, Webhook: l.Webhook, Name: l.Name, Host: l.Host,
		Generation: l.Generation, Number: l.Number, Remaining: l.Remaining, Wait: l.Wait, Timeout: l.Timeout, Last: l.Last,
		Kind: delivery.Kind(l.Kind), Due: l.Due, Lapsed: l.Lapsed}
}

func roundOf(b *delivery.Batch) workflows.Round {
	r := workflows.Round{Summary: summary(b), Delivered: b.Delivered, Failed: b.Failed, Held: b.Held, Canceled: b.Canceled, Superseded: b.Superseded,
		Stopped: b.Stopped(), Waiting: allToWire(b.Waiting), OverCap: allToWire(b.OverCap)}
	for i := range b.Ended {
		r.NotDelivered = append(r.NotDelivered, endedToWire(&b.Ended[i]))
	}
	return r
}

func allToWire(left []delivery.Leftover) []workflows.Leftover {
	var all []workflows.Leftover
	for i := range left {
		all = append(all, toWire(&left[i]))
	}
	return all
}

func endedToWire(e *delivery.Ended) workflows.Ended {
	return workflows.Ended{Status: e.Status, Reason: e.Reason, Tenant: models.TenantSlug(e.Tenant), EventType: e.EventType,
		Webhook: e.Webhook, Name: e.Name, Host: e.Host, Delivery: e.Delivery, Attempts: e.Attempts}
}

// outcomeOf returns the result of one delivery, with a sentence for the Web UI.
func outcomeOf(o *delivery.Outcome) workflows.Outcome {
	out := workflows.Outcome{Status: o.End}
	switch {
	case o.Ended != nil:
		ended := endedToWire(o.Ended)
		out.Ended = &ended
		out.Summary = capital(o.End)
		if why := o.Ended.Reason; strings.HasPrefix(why, o.End) { // "canceled by ops"
			out.Summary = capital(why)
		} else if why != "" {
			out.Summary += ": " + why
		}
	case o.Left != nil:
		left := toWire(o.Left)
		out.Left = &left
		out.Summary = "Not delivered yet"
		if why := o.Left.Last; why != "" {
			out.Summary += ": " + why
		}
	default:
		out.Summary = "Received"
	}
	return out
}

// summary describes the result of a batch in a sentence that begins with the number of received deliveries.
func summary(b *delivery.Batch) string {
	waits := len(b.Waiting) - b.Refused
	all := b.Delivered + b.Failed + b.Stopped() + len(b.Waiting) + len(b.OverCap)
	if all == 0 {
		return "Nothing was left to do"
	}
	parts := []string{fmt.Sprintf("%d of %d received", b.Delivered, all)}
	switch {
	case b.Delivered == all && all == 1:
		return "Received"
	case b.Delivered == all:
		return fmt.Sprintf("All %d received", all)
	case b.Delivered == 0:
		parts[0] = fmt.Sprintf("None of %d received", all)
		if all == 1 {
			parts[0] = "Not received"
		}
	}
	for _, p := range []struct {
		n    int
		what string
	}{
		{b.Refused, "failed and to be retried"}, {b.Failed, "failed for good"}, {b.Held, "held"}, {b.Canceled, "canceled"},
		{b.Superseded, "superseded"}, {waits, "put off"}, {len(b.OverCap), "waiting for their turn"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	text := strings.Join(parts, ", ")
	if why := firstReason(b); why != "" {
		text += "; the first reason: " + why
	}
	return text
}

// firstReason returns why the first delivery that was not received was not.
func firstReason(b *delivery.Batch) string {
	for i := range b.Ended {
		if why := b.Ended[i].Reason; why != "" {
			return why
		}
	}
	for i := range b.Waiting {
		if why := b.Waiting[i].Last; why != "" {
			return why
		}
	}
	return ""
}

func capital(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}
