package workflows

import (
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
)

// The workflow types, as the Web UI shows them.
const (
	DeliverType = "Deliver"
	WatchType   = "WatchWebhook"
	RecoverType = "Recover"
	RetainType  = "Retain"
)

// The activity types.
const (
	FirstAttempts = "FirstAttempts" // local: the first POST of every delivery of a dispatch
	AttemptMany   = "AttemptMany"   // a POST each to one webhook: first ones that were over its cap, or retries due together
	Attempt       = "Attempt"       // one POST of one delivery, with all its retries
	LookUp        = "LookUp"        // local: what is left of a delivery whose activity ended without a record
	Finish        = "Finish"        // local: closes the outbox entry of a dispatch
	Judge         = "Judge"         // local: looks at a webhook's failure count and does what is due
	Notify        = "Notify"        // tells a tenant's administrators
	ReleasePage   = "ReleasePage"   // local: makes a page of held or failed deliveries pending again
	RemoveExpired = "RemoveExpired" // deletes what is older than the retention
)

// JudgeSignal wakes a webhook's health workflow.
const JudgeSignal = "judge"

// RetainSchedule is the id of the Temporal schedule that runs the retention.
func RetainSchedule(prefix string) string { return prefix + "-retention" }

// Queues are the task queues of one installation.
type Queues struct{ prefix string }

// NewQueues names the queues after the installation's prefix, so that two can share a namespace.
func NewQueues(prefix string) Queues { return Queues{prefix} }

// Main is where workflows run, with their local activities and the small regular ones.
func (q Queues) Main() string { return q.prefix }

// Bulk is where dispatches of many deliveries run: a backlog of them is taken on at a pace of its own, and keeps no
// workflow on the main queue waiting.
func (q Queues) Bulk() string { return q.prefix + "-bulk" }

// BulkFrom is how many deliveries make a dispatch one of the bulk queue.
const BulkFrom = 32

// Dispatch is the queue of a dispatch with n deliveries.
func (q Queues) Dispatch(n int) string {
	if n >= BulkFrom {
		return q.Bulk()
	}
	return q.Main()
}

// Deliveries is the fair lane: retries, and what is over a webhook's cap, one webhook after the other by fairness key.
func (q Queues) Deliveries() string { return q.prefix + "-deliveries" }

// DefaultPrefix is the prefix of the installation that says nothing else.
const DefaultPrefix = "posthorn"

// The beginnings of workflow ids, after the installation's part.
const (
	deliverPrefix = "deliver/"
	watchPrefix   = "webhook/"
	recoverPrefix = "recover/"
)

// id is a workflow id of this installation. Event ids that publishers choose may be the same in two installations, so that
// the ids of each begin with its prefix. The default one has none: its ids are as they were before there were others.
func (q Queues) id(kind, id string) string {
	if q.prefix == DefaultPrefix {
		return kind + id
	}
	return q.prefix + "/" + kind + id
}

// DeliverID is the workflow id of a dispatch.
func (q Queues) DeliverID(dispatchID string) string { return q.id(deliverPrefix, dispatchID) }

// DispatchID returns the dispatch that a workflow id belongs to; "" if it belongs to none of this installation.
func (q Queues) DispatchID(workflowID string) string {
	id, ok := strings.CutPrefix(workflowID, q.DeliverID(""))
	if !ok {
		return ""
	}
	return id
}

// WatchID is the workflow id of a webhook's health.
func (q Queues) WatchID(webhookID string) string { return q.id(watchPrefix, webhookID) }

// RecoverID is the workflow id of a recovery.
func (q Queues) RecoverID(recoveryID string) string { return q.id(recoverPrefix, recoveryID) }

// The search attributes, by which the Web UI's list is filtered. SQL visibility stores have room for three keyword lists.
var (
	TenantAttribute    = temporal.NewSearchAttributeKeyKeywordList("PosthornTenant")
	EventTypeAttribute = temporal.NewSearchAttributeKeyKeywordList("PosthornEventType")
	WebhookAttribute   = temporal.NewSearchAttributeKeyKeywordList("PosthornWebhook")
	StatusAttribute    = temporal.NewSearchAttributeKeyKeyword("PosthornStatus")
)

// SearchAttributes lists the attributes to register in the namespace, with their types.
func SearchAttributes() map[string]enums.IndexedValueType {
	return map[string]enums.IndexedValueType{
		TenantAttribute.GetName():    enums.INDEXED_VALUE_TYPE_KEYWORD_LIST,
		EventTypeAttribute.GetName(): enums.INDEXED_VALUE_TYPE_KEYWORD_LIST,
		WebhookAttribute.GetName():   enums.INDEXED_VALUE_TYPE_KEYWORD_LIST,
		StatusAttribute.GetName():    enums.INDEXED_VALUE_TYPE_KEYWORD,
	}
}

// MaxAttributeValues and MaxAttributeBytes bound a keyword list, whose JSON may have 2 KiB: Temporal starts no workflow that
// has more. Values beyond that are left out.
const (
	MaxAttributeValues = 40
	MaxAttributeBytes  = 2000
)
