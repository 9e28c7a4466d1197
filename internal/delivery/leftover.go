package delivery

import (
	"time"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// Kind says what a leftover delivery waits for.
type Kind string

const (
	// BackOff waits for the next step of its retry schedule, or for a failure of Posthorn's own to end.
	BackOff Kind = ""
	// AtRate waits for the time Due, reserved at its webhook's rate.
	AtRate Kind = "rate"
	// ForSlot waits for a slot in flight, and asks again as often as it must.
	ForSlot Kind = "slot"
)

// Leftover is a delivery that is not finished, with what its next attempt needs.
type Leftover struct {
	Tenant     string
	Delivery   string
	EventType  string
	Webhook    string
	Name       string // of the webhook
	Host       string // of the webhook's URL
	Generation int
	Number     int           // of the next attempt, from 1
	Remaining  int           // attempts that may still be made, the next one included
	Wait       time.Duration // until the next attempt is called; 0 where that is due within a second
	Timeout    time.Duration // of one POST
	Last       string        // how the last attempt failed
	Kind       Kind
	Due        time.Time // the time that it was postponed to; zero after an attempt
	Lapsed     bool      // AtRate: it has missed one reserved time
}

// key names the lock that only one attempt of the delivery may hold at a time.
func (l *Leftover) key() string { return l.Tenant + "/" + l.Delivery }

// Outcome is the result of one delivery, or says that it is left over.
type Outcome struct {
	End   string // "" = see Left
	Ended *Ended // the details, unless it was delivered
	Left  *Leftover
	// Attempted says that Left follows a failed reception; otherwise the delivery was postponed.
	Attempted bool
	// Reason says why it was postponed.
	Reason string
}

// Batch is the result of attempting several deliveries.
type Batch struct {
	Delivered, Failed, Held, Canceled, Superseded int
	Ended                                         []Ended    // those that were not delivered, at most endedMost
	Refused                                       int        // of those that wait: attempted, and not received
	Waiting                                       []Leftover // to be retried
	OverCap                                       []Leftover // not attempted: their webhook, or the process, has reached its cap
	// Again is set if nothing was attempted and nothing ended: the whole batch was postponed, by this long.
	Again time.Duration
	// Reason says why.
	Reason string
}

// Stopped returns how many deliveries the dispatch is done with although they did not end with one of its attempts.
func (b *Batch) Stopped() int { return b.Held + b.Canceled + b.Superseded }

// leftover returns what the next attempt of a delivery needs. r is nil if the webhook cannot be read.
func (c *Courier) leftover(r *service.Receiver, d *models.Delivery, last string) *Leftover {
	l := &Leftover{Tenant: d.Tenant, Delivery: d.ID, EventType: d.EventType, Webhook: d.WebhookID, Generation: d.Generation, Number: d.Attempts + 1,
		Remaining: 1, Last: last}
	if r != nil {
		l.Remaining, l.Timeout, l.Name, l.Host = r.Policy.Max+1-d.Failures, r.Timeout, r.Webhook.Name, r.Host
	}
	if d.NextAttemptAt != nil {
		l.Wait = max(0, d.NextAttemptAt.Sub(c.Now())).Round(time.Millisecond)
	}
	return l
}
