// Package delivery owns the mechanics of one delivery: it admits it (its webhook is active, within its limits, and there
// is room for a POST), sends it, decides what the attempt means, and records that. It also runs many deliveries at once,
// in batches.
//
// courier.go is the entry, attempt.go the way of one delivery, admission.go what lets it through. A batch returns only
// when everything in it is durable. It may run twice or late at any time: the database decides whether it still counts.
//
// It must not import Temporal, workflows, worker or api.
package delivery
