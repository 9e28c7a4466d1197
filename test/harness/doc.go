// Package harness runs Posthorn as its users do: the real programs, built once, as processes on free ports, spoken to
// over HTTP, with receivers that remember what arrives. It knows Posthorn's outside contract only.
//
// It is for test/e2e, test/crash and test/rolling, and runs on Unix only. Of this module it must not import any package but
// internal/freeport and, for the names of Temporal's task queues, workflows.
package harness
