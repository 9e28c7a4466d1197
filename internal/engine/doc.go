// Package engine is Posthorn's side of the Temporal client: it starts dispatches, wakes health workflows, starts
// recoveries, and checks whether a workflow is alive. It holds no truth of its own: if something cannot be started
// now, the reconciler finds it in the database later.
//
// The package knows no HTTP and changes no delivery. It writes only outbox entries: those of shared dispatches, and
// those of deliveries that first attempts without a workflow have left over.
package engine
