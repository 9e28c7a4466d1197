// Package localpg finds the PostgreSQL programs of this machine and makes data directories with them, for test/pgtest and
// internal/chaos, which run servers of their own.
//
// It knows nothing of Posthorn and must not import any other package of this module. It runs on Unix only.
package localpg
