// Package chaos is the fault ledger. It runs a whole Posthorn (two APIs, two workers, Temporal, PostgreSQL) as real
// processes with proxies between them. It publishes steadily and makes faults from a seeded schedule. After each fault
// it compares the accepted deliveries with the POSTs at the receivers and with the records of /v1.
//
// It uses only Posthorn's command line, its environment and its API. Of this module it may import internal/localpg,
// internal/freeport and, for the report, internal/bench. It runs on Linux only.
package chaos
