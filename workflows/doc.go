// Package workflows is the deterministic stories: a dispatch of deliveries, the health of a webhook, a recovery,
// the retention. Each file is a short entry, a struct that holds the state, and verb methods that read as the story.
//
// names.go owns every name Temporal knows; types.go what passes between workflows and activities: ids and
// numbers, never payloads or secrets. It must not import anything that does I/O: activities are called by name.
package workflows
