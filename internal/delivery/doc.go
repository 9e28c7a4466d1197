// Package delivery owns the mechanics of one delivery. It admits the delivery (its webhook is active, within its
// limits, and there is room for a POST), sends it, decides what the attempt means, and records the result. It also
// processes many deliveries at once, in batches.
//
// courier.go has the entry points, attempt.go the path of one delivery, and admission.go its admission. A batch
// returns only when everything in it is durable. It may run twice or late at any time: the database decides whether it
// still counts.
//
// The package must not import Temporal, workflows, worker or api.
package delivery
