// Package activities is the side effects that the workflows call: thin methods over internal/delivery, internal/service,
// internal/notify and models. They add what is Temporal's: heartbeats, and errors that ask for a retry. deliveries.go makes
// attempts, health.go looks after webhooks, housekeeping.go recovers and retains.
//
// An activity returns only when what it did is durable. It may be run twice or late at any time: the database
// decides whether it still counts. It must not import api or worker.
package activities
