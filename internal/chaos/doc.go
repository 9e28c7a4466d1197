// Package chaos is the fault ledger: it runs a whole Posthorn (two APIs, two workers, Temporal, PostgreSQL) as real
// processes with proxies between them, publishes steadily, makes faults from a seeded schedule, and compares after each
// what was accepted with what receivers got and with what /v1 records.
//
// It knows Posthorn by its command line, its environment and its API only. Of this module it may import internal/localpg,
// internal/freeport and, for the report, internal/bench. It runs on Linux only.
package chaos
