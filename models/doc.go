// Package models is what Posthorn stores: one file per entity with its queries, and the versioned migrations.
//
// It is the only package that contains SQL, and it runs on PostgreSQL and on SQLite. GORM does the everyday queries;
// the two hot paths (accept.go and record.go) are raw multi-row statements. State changes are conditional on a
// delivery's status and generation, so that a caller with outdated knowledge changes nothing.
//
// It must not import Temporal, Gin or any other package of Posthorn except internal/fault and internal/pause.
package models
