package workflows

import "time"

// DeliverInput starts a dispatch. Its deliveries are read from the outbox.
type DeliverInput struct {
	DispatchID string
	Queue      string // of the fair lane
	Tenant     string `json:",omitempty"` // whose deliveries they are; "" = several tenants', or not known
	Size       int    `json:",omitempty"` // how many deliveries there are; 0 = not known
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
	Due        time.Time     `json:",omitzero"`  // when the webhook's own limits, which have put it off, let it through
	Reserved   bool          `json:",omitempty"` // the webhook's rate has given it a time
	Paced      bool          `json:",omitempty"` // those of its webhook with times close to it may be attempted together
	Lapsed     bool          `json:",omitempty"` // it has missed such a time
	Places     bool          `json:",omitempty"` // the webhook bounds what is in flight: it may be put off any number of times
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
