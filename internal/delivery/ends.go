package delivery

import (
	"cmp"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// The final states of a delivery for the dispatch that drives it.
const (
	Delivered  = "delivered"
	Failed     = "failed"
	Held       = "held"
	Canceled   = "canceled"
	Superseded = "superseded" // another dispatch drives it, or has ended it
)

// Ended is a delivery that a dispatch is done with although it was not received, with the reason.
type Ended struct {
	Status    string // Failed, Held, Canceled or Superseded
	Reason    string
	Tenant    string
	Delivery  string
	EventType string
	Webhook   string
	Name      string // of the webhook
	Host      string // of the webhook's URL
	Attempts  int    // POSTs made
}

// endedMost bounds the ended deliveries that a batch lists one by one.
const endedMost = 40

// The reasons of final states that no database row has.
const (
	reasonElsewhere = "another workflow drives it: it was retried, resumed, recovered or taken over"
	reasonOther     = "another workflow ended it"
	reasonByHand    = "the delivery was paused by hand"
	reasonRemoved   = "it was removed with its tenant"
	reasonGone      = "the receiver answered 410 Gone, and its webhook was deactivated"
)

// end counts how a delivery ended, and notes the reason if it was not delivered.
func (b *Batch) end(e Ended) {
	switch e.Status {
	case Delivered:
		b.Delivered++
		return
	case Failed:
		b.Failed++
	case Held:
		b.Held++
	case Canceled:
		b.Canceled++
	default:
		b.Superseded++
	}
	if len(b.Ended) < endedMost {
		b.Ended = append(b.Ended, e)
	}
}

// endOf returns how a delivery has ended if it differs from what was known, and why; "" if it has not ended.
func endOf(d *models.Delivery, generation int) (end, reason string) {
	switch {
	case d.Status == models.Held && d.StatusReason == models.ReasonPaused:
		return Held, reasonByHand
	case d.Status == models.Held:
		return Held, d.StatusReason
	case d.Status == models.Canceled:
		return Canceled, d.StatusReason
	case d.Status == models.Pending && d.Generation == generation:
		return "", ""
	case d.Status == models.Pending:
		return Superseded, reasonElsewhere
	case d.Generation != generation:
		return Superseded, reasonOther
	case d.Status == models.Delivered:
		return Delivered, ""
	default:
		return Failed, ""
	}
}

// asEnded describes a delivery that ended. Facts about its webhook that are unknown now are taken from known.
func asEnded(r *service.Receiver, d *models.Delivery, known *Leftover, end, reason string) Ended {
	e := Ended{Status: end, Reason: reason, Tenant: d.Tenant, Delivery: d.ID, EventType: cmp.Or(d.EventType, known.EventType),
		Webhook: cmp.Or(d.WebhookID, known.Webhook), Name: known.Name, Host: known.Host, Attempts: d.Attempts}
	if r != nil {
		e.Name, e.Host = r.Webhook.Name, r.Host
	}
	if e.Reason == "" && end == Failed {
		e.Reason = known.Last
	}
	return e
}
