// Package activities holds the side effects that the workflows call. deliveries.go makes attempts, health.go watches
// webhooks, housekeeping.go runs recoveries and the retention: thin methods over internal/delivery, internal/service and
// models. They add Temporal's part: heartbeats, and errors that request a retry. notify.go notifies administrators.
//
// An activity returns only when its effects are durable. It may run twice or late at any time: the database decides
// whether it still counts. The package must not import api or worker.
package activities
