package workflows

import (
	"encoding/json"
	"time"
)

// DeliverInput starts a dispatch. Its deliveries are read from the outbox.
type DeliverInput struct {
	DispatchID string
	Queue      string // of the fair lane
	Tenant     string `json:",omitempty"` // of all its deliveries; "" = of several, or unknown
	Size       int    `json:",omitempty"` // how many deliveries it has; 0 = unknown
	// Carried is what an earlier run left; nil in the first.
	Carried *Carried `json:",omitempty"`
}

// Carried is what a run of a dispatch hands on to the next.
type Carried struct {
	Result  DeliverResult // so far
	Waiting []Leftover
}

// FirstAttemptsInput names a dispatch whose first attempts are to be made.
type FirstAttemptsInput struct {
	Size       int `json:",omitempty"` // how many deliveries the dispatch has; 0 = unknown
	DispatchID string
	Tenant     string `json:",omitempty"`
}

// DeliverResult is how a dispatch ended.
type DeliverResult struct {
	Delivered int `json:",omitempty"`
	Failed    int `json:",omitempty"`
	// Stopped were held, canceled or taken over meanwhile: they are not this dispatch's any more.
	Stopped int `json:",omitempty"`
}

// Leftover is a delivery that is not finished, and what its next attempt needs.
type Leftover struct {
	Tenant     string
	Delivery   string
	Webhook    string
	Host       string // of the webhook's URL, for the summaries
	Generation int
	Number     int           // of the next attempt, from 1
	Remaining  int           // attempts that may still be made, the next one included
	Wait       time.Duration // until the next attempt
	Timeout    time.Duration // of one POST
	Last       string        `json:",omitempty"` // how the last attempt failed
	Kind       Kind          `json:",omitempty"` // what it waits for
	Due        time.Time     `json:",omitzero"`  // when it was put off to; zero after an attempt
	Lapsed     bool          `json:",omitempty"` // AtRate: it has missed the time it was given once
}

// Kind is what a delivery that is left over waits for.
type Kind string

const (
	// BackOff waits for the next step of its retry schedule, or for Posthorn's own trouble to end.
	BackOff Kind = ""
	// AtRate waits for the time, Due, that its webhook's rate has given it. Those close together are attempted together.
	AtRate Kind = "rate"
	// ForSlot waits for a slot in flight: it may be put off any number of times.
	ForSlot Kind = "slot"
)

// UnmarshalJSON reads a leftover, also as builds before Kind wrote it: dispatches that they began go on.
func (l *Leftover) UnmarshalJSON(text []byte) error {
	type plain Leftover
	var read struct {
		plain
		Reserved, Paced, Places bool
	}
	if err := json.Unmarshal(text, &read); err != nil { //nolint:musttag // the fields' names are the JSON's
		return err
	}
	*l = Leftover(read.plain)
	switch {
	case l.Kind != BackOff:
	case read.Paced:
		l.Kind = AtRate
	case (read.Reserved || read.Places) && !l.Due.IsZero():
		l.Kind = ForSlot
	}
	return nil
}

// Round is what came of attempting several deliveries.
type Round struct {
	Delivered int        `json:",omitempty"`
	Failed    int        `json:",omitempty"`
	Stopped   int        `json:",omitempty"`
	Waiting   []Leftover `json:",omitempty"` // to be retried
	OverCap   []Leftover `json:",omitempty"` // not attempted: their webhook has enough in flight
	// Together is set by the first attempts: retries that fall due together are made together. Dispatches begun by a
	// worker that knew no such way keep to theirs, as their histories do. It comes with what is recorded anyway, and is
	// not asked of workflow.GetVersion, which writes a marker and a search attribute.
	Together bool `json:",omitempty"`
	// Continues is set like Together: the workflow continues as new when Temporal suggests it.
	Continues bool `json:",omitempty"`
}

// AttemptManyInput names deliveries of one webhook of which one attempt each is to be made.
type AttemptManyInput struct {
	DispatchID string
	Deliveries []Leftover
}

// AttemptInput names one delivery to be attempted until it is received or its retries are used up.
type AttemptInput struct {
	DispatchID string
	Delivery   Leftover
}

// Outcome is how one delivery ended, or that it is left over still.
type Outcome struct {
	Status string    // delivered, failed or stopped; "" = see Left
	Left   *Leftover `json:",omitempty"`
}

// The outcomes of a delivery.
const (
	Delivered = "delivered"
	Failed    = "failed"
	Stopped   = "stopped"
)

// The values of the search attribute PosthornStatus, beside the outcomes.
const (
	StatusPending  = "pending"
	StatusRetrying = "retrying"
)

// WatchInput starts a webhook's health workflow.
type WatchInput struct{ WebhookID string }

// Health is what a look at a webhook found, after doing what was due.
type Health struct {
	Gone      bool // the webhook has been deleted
	Tenant    string
	Status    string
	Reason    string
	Name      string
	Host      string // of its URL, the rest of which may be a secret
	Failed    int64
	Threshold int64
	Epoch     int64
	LastError string
	Unsent    []string // notifications that have not gone out
}

// RecoverInput starts a recovery.
type RecoverInput struct {
	RecoveryID string
	Pages      int // made by earlier runs of it
}

// Progress is where a recovery is.
type Progress struct {
	Tenant   string
	Webhook  string
	Status   string
	Running  bool
	Released int64
	Total    int64
	Pause    time.Duration // until the next page, to keep to the recovery's rate
}
