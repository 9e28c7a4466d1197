// Package harness runs Posthorn as its users do. It builds the real programs once, runs them as processes on free
// ports, and calls them over HTTP. Its receivers remember what arrives. It uses only Posthorn's public contract.
//
// It is for test/e2e, test/crash and test/rolling, and runs on Unix only. Of this module it must not import any package but
// internal/freeport and, for the names of Temporal's task queues, workflows.
package harness
