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
	AttemptMany   = "AttemptMany"   // one POST each of several deliveries to one webhook: first ones over its cap, or retries due together
	Attempt       = "Attempt"       // one POST of one delivery, with all its retries
	LookUp        = "LookUp"        // local: the state of a delivery whose activity ended without a record
	Finish        = "Finish"        // local: closes the outbox entry of a dispatch
	Judge         = "Judge"         // local: checks a webhook's failure count, and warns or deactivates
	Notify        = "Notify"        // notifies a tenant's administrators
	ReleasePage   = "ReleasePage"   // local: makes a page of a recovery's deliveries pending again
	RemoveExpired = "RemoveExpired" // deletes rows older than the retention
)

// JudgeSignal wakes a webhook's health workflow.
const JudgeSignal = "judge"

// RetainSchedule returns the id of the Temporal schedule that runs the retention.
func RetainSchedule(prefix string) string { return prefix + "-retention" }

// Queues are the task queues of one installation.
type Queues struct{ prefix string }

// NewQueues names the queues after the installation's prefix, so that two can share a namespace.
func NewQueues(prefix string) Queues { return Queues{prefix} }

// Main is the queue of workflows, with their local activities and the small regular ones.
func (q Queues) Main() string { return q.prefix }

// Bulk is the queue of large dispatches. Workers take from it at a separate pace, so that a backlog of them delays no
// workflow on the main queue.
func (q Queues) Bulk() string { return q.prefix + "-bulk" }

// BulkFrom is the number of deliveries from which a dispatch goes to the bulk queue.
const BulkFrom = 32

// Dispatch returns the queue of a dispatch with n deliveries.
func (q Queues) Dispatch(n int) string {
	if n >= BulkFrom {
		return q.Bulk()
	}
	return q.Main()
}

// Deliveries is the fair lane: retries, and deliveries over a webhook's cap. Webhooks take turns, by fairness key.
func (q Queues) Deliveries() string { return q.prefix + "-deliveries" }

// DefaultPrefix is the prefix of an installation that sets none.
const DefaultPrefix = "posthorn"

// The prefixes of workflow ids, after the installation's part.
const (
	deliverPrefix = "deliver/"
	watchPrefix   = "webhook/"
	recoverPrefix = "recover/"
)

// id returns a workflow id of this installation. Event ids that publishers choose may be the same in two
// installations, so the ids of each begin with its prefix. The default installation's ids have none, as before there
// were others.
func (q Queues) id(kind, id string) string {
	if q.prefix == DefaultPrefix {
		return kind + id
	}
	return q.prefix + "/" + kind + id
}

// DeliverID returns the workflow id of a dispatch.
func (q Queues) DeliverID(dispatchID string) string { return q.id(deliverPrefix, dispatchID) }

// DispatchID returns the dispatch that a workflow id belongs to; "" if it belongs to none of this installation.
func (q Queues) DispatchID(workflowID string) string {
	id, ok := strings.CutPrefix(workflowID, q.DeliverID(""))
	if !ok {
		return ""
	}
	return id
}

// WatchID returns the workflow id of a webhook's health workflow.
func (q Queues) WatchID(webhookID string) string { return q.id(watchPrefix, webhookID) }

// RecoverID returns the workflow id of a recovery.
func (q Queues) RecoverID(recoveryID string) string { return q.id(recoverPrefix, recoveryID) }

// The search attributes, which filter the Web UI's list. SQL visibility stores have room for three keyword lists.
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

// MaxAttributeValues and MaxAttributeBytes bound a keyword list, whose JSON may have 2 KiB: Temporal starts no
// workflow with a larger one. Values beyond the bounds are left out.
const (
	MaxAttributeValues = 40
	MaxAttributeBytes  = 2000
)
