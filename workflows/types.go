package workflows

import "time"

// DeliverInput starts a dispatch. Its deliveries are read from the outbox.
type DeliverInput struct {
	// About describes the dispatch for the Web UI; nil if an earlier build started it.
	About      *About `json:",omitempty"`
	DispatchID string
	Queue      string // the fair lane's queue
	Tenant     string `json:",omitempty"` // the id of its deliveries' tenant; "" = several, or unknown
	Size       int    `json:",omitempty"` // the number of its deliveries; 0 = unknown
	// By is who was making the first attempts when the workflow started; nil = they are to be made.
	By *Maker `json:",omitempty"`
	// Shown is the status with which it started in the list; "" = pending.
	Shown string `json:",omitempty"`
	// Carried is the rest of an earlier run, or of first attempts made before the workflow started; nil = neither.
	Carried *Carried `json:",omitempty"`
}

// About describes what a dispatch delivers to which webhooks. The workflow makes no decision by it.
type About struct {
	What       string   `json:",omitempty"` // as a phrase: "order.created of acme to Orders (receiver.example)"
	Tenants    []string `json:",omitempty"` // public names; only the first few, like those below
	EventTypes []string `json:",omitempty"`
	Webhooks   []string `json:",omitempty"` // name, host and id of each
	Deliveries int      `json:",omitempty"` // their number
	Console    string   `json:",omitempty"` // the base URL of links to deliveries; "" = no links
}

// Carried is the state that one run of a dispatch passes to the next.
type Carried struct {
	Result  DeliverResult // so far
	Waiting Leftovers
}

// Maker is a process that began to make first attempts before their workflow started.
type Maker struct {
	Process int64
	At      time.Time // when it began
}

// FirstAttemptsInput names a dispatch whose first attempts are due.
type FirstAttemptsInput struct {
	By         *Maker `json:",omitempty"`
	Size       int    `json:",omitempty"` // the number of the dispatch's deliveries; 0 = unknown
	DispatchID string
	Tenant     string `json:",omitempty"`
}

// DeliverResult is the result of a dispatch: a sentence, the number of deliveries in each final state, and a row for
// each that was not delivered.
type DeliverResult struct {
	Summary    string `json:",omitempty"`
	Delivered  int    `json:",omitempty"`
	Failed     int    `json:",omitempty"`
	Held       int    `json:",omitempty"`
	Canceled   int    `json:",omitempty"`
	Superseded int    `json:",omitempty"` // another dispatch drives them, or has ended them
	// Stopped counts held, canceled and superseded deliveries, from builds that did not distinguish these.
	Stopped int `json:",omitempty"`
	// NotDelivered has at most maxRows rows and maxRowBytes bytes; Unlisted counts the others.
	NotDelivered []Ended `json:",omitempty"`
	Unlisted     int     `json:",omitempty"`
}

// Ended is a delivery that was not received although its dispatch is done with it, with the reason.
type Ended struct {
	Status    string // failed, held, canceled or superseded
	Reason    string `json:",omitempty"`
	Tenant    string // its public name
	EventType string `json:",omitempty"`
	Webhook   string
	Name      string `json:",omitempty"` // of the webhook
	Host      string `json:",omitempty"` // of the webhook's URL; the rest may be a secret
	Delivery  string
	Attempts  int    // POSTs made
	Link      string `json:",omitempty"` // to the delivery
}

// Round is the result of attempting several deliveries.
type Round struct {
	Summary    string `json:",omitempty"` // for the Web UI
	Delivered  int    `json:",omitempty"`
	Failed     int    `json:",omitempty"`
	Held       int    `json:",omitempty"`
	Canceled   int    `json:",omitempty"`
	Superseded int    `json:",omitempty"`
	// Stopped is the sum of the three above. Earlier builds know only the sum.
	Stopped      int       `json:",omitempty"`
	NotDelivered []Ended   `json:",omitempty"` // the first ones
	Waiting      Leftovers `json:",omitempty"` // to be retried
	OverCap      Leftovers `json:",omitempty"` // not attempted: their webhook has reached its cap
	// Together is set by the first attempts: retries that fall due together are made together. Dispatches begun by a
	// worker without this keep their own way, as their histories do. It is part of a result that is recorded anyway;
	// workflow.GetVersion would write an additional marker and a search attribute.
	Together bool `json:",omitempty"`
	// Continues is set like Together: the workflow continues as new when Temporal suggests it.
	Continues bool `json:",omitempty"`
}

// AttemptManyInput names deliveries of one webhook, of which one attempt each is made.
type AttemptManyInput struct {
	DispatchID string
	Deliveries Leftovers
}

// AttemptInput names one delivery to attempt until it is received or its retries are used up.
type AttemptInput struct {
	DispatchID string
	Delivery   Leftover
}

// Outcome is the result of one delivery, or says that it is still left over.
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
	Superseded = "superseded" // another dispatch drives it, or has ended it
	Stopped    = "stopped"    // held, canceled or superseded, from builds that did not distinguish these
)

// The values of the search attribute PosthornStatus, in addition to the outcomes.
const (
	StatusPending  = "pending"
	StatusRetrying = "retrying"
)

// WatchInput starts a webhook's health workflow.
type WatchInput struct {
	WebhookID string
	// The webhook's name and host, as far as known, for the Web UI; "" = unknown.
	Tenant string `json:",omitempty"` // its public name
	Name   string `json:",omitempty"`
	Host   string `json:",omitempty"`
	// Last is the last state that the previous run saw; nil in the first run.
	Last *WatchResult `json:",omitempty"`
}

// WatchResult is the result of watching a webhook, with its last known state.
type WatchResult struct {
	Summary       string
	Tenant        string `json:",omitempty"`
	WebhookID     string
	Name          string `json:",omitempty"`
	Host          string `json:",omitempty"`
	Status        string `json:",omitempty"` // the status before it was deleted
	Reason        string `json:",omitempty"`
	Failed        int64  // receptions that counted towards Threshold
	Threshold     int64
	LastError     string `json:",omitempty"`
	Notifications int    `json:",omitempty"` // that were sent, or that could reach nobody
	Signals       int    `json:",omitempty"` // handled
}

// Health is a webhook's state after a judgement, which has done what was due.
type Health struct {
	Deleted   bool `json:"Gone"` // the webhook has been deleted; histories have the old name
	Tenant    string
	Status    string
	Reason    string
	Name      string
	Host      string // of its URL; the rest may be a secret
	Failed    int64
	Threshold int64
	Epoch     int64
	LastError string
	Unsent    []string // notifications that have not been sent
}

// RecoverInput starts a recovery.
type RecoverInput struct {
	RecoveryID string
	Pages      int    // done by earlier runs
	Tenant     string `json:",omitempty"` // its public name; for the Web UI, like the following fields
	WebhookID  string `json:",omitempty"`
	Name       string `json:",omitempty"` // of the webhook
	Host       string `json:",omitempty"`
}

// Progress is the state of a recovery.
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
	Pause    time.Duration // until the next page, as the recovery's rate requires
}
