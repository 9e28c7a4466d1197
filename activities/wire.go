package activities

import (
	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/workflows"
)

// toWire is a delivery that is left over, as it stands in histories.
func toWire(l *delivery.Leftover) workflows.Leftover {
	return workflows.Leftover{Tenant: l.Tenant, Delivery: l.Delivery, Webhook: l.Webhook, Host: l.Host, Generation: l.Generation,
		Number: l.Number, Remaining: l.Remaining, Wait: l.Wait, Timeout: l.Timeout, Last: l.Last,
		Kind: workflows.Kind(l.Kind), Due: l.Due, Lapsed: l.Lapsed}
}

// fromWire is the way back.
func fromWire(l *workflows.Leftover) delivery.Leftover {
	return delivery.Leftover{Tenant: l.Tenant, Delivery: l.Delivery, Webhook: l.Webhook, Host: l.Host, Generation: l.Generation,
		Number: l.Number, Remaining: l.Remaining, Wait: l.Wait, Timeout: l.Timeout, Last: l.Last,
		Kind: delivery.Kind(l.Kind), Due: l.Due, Lapsed: l.Lapsed}
}

func roundOf(b *delivery.Batch) workflows.Round {
	return workflows.Round{Delivered: b.Delivered, Failed: b.Failed, Stopped: b.Stopped, Waiting: allToWire(b.Waiting), OverCap: allToWire(b.OverCap)}
}

func allToWire(left []delivery.Leftover) []workflows.Leftover {
	var all []workflows.Leftover
	for i := range left {
		all = append(all, toWire(&left[i]))
	}
	return all
}
