// Package workflows holds the deterministic workflows: a dispatch of deliveries, the health of a webhook, a recovery,
// the retention. Each file has a short entry, a struct that holds the state, and verb methods that read as the story.
//
// names.go owns every name that Temporal knows. types.go has the types that pass between workflows and activities: ids
// and numbers, never payloads or secrets. The package must not import anything that does I/O: activities are called by
// name.
package workflows
