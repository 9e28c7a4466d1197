// Package activities holds the side effects that the workflows call: thin methods over internal/delivery,
// internal/service, internal/notify and models. They add Temporal's part: heartbeats, and errors that request a retry.
// deliveries.go makes attempts, health.go watches webhooks, housekeeping.go runs recoveries and the retention.
//
// An activity returns only when its effects are durable. It may run twice or late at any time: the database decides
// whether it still counts. The package must not import api or worker.
package activities
