// Package engine is Posthorn's side of the Temporal client: it starts dispatches, wakes health workflows, starts
// recoveries, and asks whether a workflow is alive. None of it is where the truth is: what cannot be started now is
// found in the database by the reconciler later.
//
// It knows no HTTP and changes no delivery; the only rows it writes are outbox entries: of shared
// dispatches, and of what first attempts without a workflow have left over.
package engine
