// Package localpg finds the PostgreSQL programs of this machine and creates data directories with them, for
// test/pgtest and internal/chaos, which run their own servers.
//
// It knows nothing about Posthorn and must not import any other package of this module. It runs on Unix only.
package localpg
