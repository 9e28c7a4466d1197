package workflows

import "time"

// DeliverInput starts a dispatch. Its deliveries are read from the outbox.
type DeliverInput struct {
	// About says in the Web UI what the dispatch is; nil if an earlier build started it.
	About      *About `json:",omitempty"`
	DispatchID string
	Queue      string // of the fair lane
	Tenant     string `json:",omitempty"` // the id of the tenant of all its deliveries; "" = of several, or unknown
	Size       int    `json:",omitempty"` // how many deliveries it has; 0 = unknown
	// Carried is what an earlier run left; nil in the first.
	Carried *Carried `json:",omitempty"`
}

// About names what a dispatch delivers to whom. The workflow decides nothing by it.
type About struct {
	What       string   `json:",omitempty"` // as a phrase: "order.created of acme to Orders (receiver.example)"
	Tenants    []string `json:",omitempty"` // as they are called outside; the first few, like those below
	EventTypes []string `json:",omitempty"`
	Webhooks   []string `json:",omitempty"` // name, host and id of each
	Deliveries int      `json:",omitempty"` // how many there are
	Console    string   `json:",omitempty"` // the base of links to deliveries; "" = no links
}

// Carried is what a run of a dispatch hands on to the next.
type Carried struct {
	Result  DeliverResult // so far
	Waiting Leftovers
}

// FirstAttemptsInput names a dispatch whose first attempts are to be made.
type FirstAttemptsInput struct {
	Size       int `json:",omitempty"` // how many deliveries the dispatch has; 0 = unknown
	DispatchID string
	Tenant     string `json:",omitempty"`
}

// DeliverResult is how a dispatch ended: a sentence, how many deliveries became what, and a row for each that was not
// delivered.
type DeliverResult struct {
	Summary    string `json:",omitempty"`
	Delivered  int    `json:",omitempty"`
	Failed     int    `json:",omitempty"`
	Held       int    `json:",omitempty"`
	Canceled   int    `json:",omitempty"`
	Superseded int    `json:",omitempty"` // another dispatch drives them now, or has ended them
	// Stopped were held, canceled or superseded, as builds counted them that did not tell these apart.
	Stopped int `json:",omitempty"`
	// NotDelivered has at most maxRows rows and maxRowBytes bytes; Unlisted counts what is beyond.
	NotDelivered []Ended `json:",omitempty"`
	Unlisted     int     `json:",omitempty"`
}

// Ended is a delivery that was not received although its dispatch is done with it, and why.
type Ended struct {
	Status    string // failed, held, canceled or superseded
	Reason    string `json:",omitempty"`
	Tenant    string // as it is called outside
	EventType string `json:",omitempty"`
	Webhook   string
	Name      string `json:",omitempty"` // of the webhook
	Host      string `json:",omitempty"` // of the webhook's URL, the rest of which may be a secret
	Delivery  string
	Attempts  int    // POSTs made
	Link      string `json:",omitempty"` // to the delivery
}

// Round is what came of attempting several deliveries.
type Round struct {
	Summary    string `json:",omitempty"` // for the Web UI
	Delivered  int    `json:",omitempty"`
	Failed     int    `json:",omitempty"`
	Held       int    `json:",omitempty"`
	Canceled   int    `json:",omitempty"`
	Superseded int    `json:",omitempty"`
	// Stopped is the sum of these three. Earlier builds know only the sum.
	Stopped      int       `json:",omitempty"`
	NotDelivered []Ended   `json:",omitempty"` // the first of those that ended so
	Waiting      Leftovers `json:",omitempty"` // to be retried
	OverCap      Leftovers `json:",omitempty"` // not attempted: their webhook has enough in flight
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
	Deliveries Leftovers
}

// AttemptInput names one delivery to be attempted until it is received or its retries are used up.
type AttemptInput struct {
	DispatchID string
	Delivery   Leftover
}

// Outcome is how one delivery ended, or that it is left over still.
type Outcome struct {
	Summary string    `json:",omitempty"` // for the Web UI
	Status  string    // delivered, failed, held, canceled or superseded; "" = see Left
	Ended   *Ended    `json:",omitempty"` // says why it was not delivered
	Left    *Leftover `json:",omitempty"`
}

// The outcomes of a delivery.
const (
	Delivered  = "delivered"
	Failed     = "failed"
	Held       = "held"
	Canceled   = "canceled"
	Superseded = "superseded" // another dispatch drives it now, or has ended it
	Stopped    = "stopped"    // held, canceled or superseded: what builds said that did not tell these apart
)

// The values of the search attribute PosthornStatus, beside the outcomes.
const (
	StatusPending  = "pending"
	StatusRetrying = "retrying"
)

// WatchInput starts a webhook's health workflow.
type WatchInput struct {
	WebhookID string
	// The webhook's name and host, as far as known, for the Web UI; "" = not yet.
	Tenant string `json:",omitempty"` // as it is called outside
	Name   string `json:",omitempty"`
	Host   string `json:",omitempty"`
	// Last is what the run before saw last; nil in the first.
	Last *WatchResult `json:",omitempty"`
}

// WatchResult is how the watch of a webhook ended, with what was last seen of it.
type WatchResult struct {
	Summary       string
	Tenant        string `json:",omitempty"`
	WebhookID     string
	Name          string `json:",omitempty"`
	Host          string `json:",omitempty"`
	Status        string `json:",omitempty"` // before it was deleted
	Reason        string `json:",omitempty"`
	Failed        int64  // receptions that counted towards Threshold
	Threshold     int64
	LastError     string `json:",omitempty"`
	Notifications int    `json:",omitempty"` // that went out, or that nobody could get
	Signals       int    `json:",omitempty"` // taken
}

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
	Pages      int    // made by earlier runs of it
	Tenant     string `json:",omitempty"` // as it is called outside; for the Web UI, like what follows
	WebhookID  string `json:",omitempty"`
	Name       string `json:",omitempty"` // of the webhook
	Host       string `json:",omitempty"`
}

// Progress is where a recovery is.
type Progress struct {
	Summary  string `json:",omitempty"` // for the Web UI
	Tenant   string
	Webhook  string
	Name     string `json:",omitempty"` // of the webhook
	Host     string `json:",omitempty"`
	Status   string
	Running  bool
	Released int64
	Skipped  int64 `json:",omitempty"`
	Total    int64
	Pause    time.Duration // until the next page, to keep to the recovery's rate
}
