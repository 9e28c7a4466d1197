package models

import "gorm.io/gorm"

// DB lets tests look at what no method shows: row counts, planner statistics.
func (s *Store) DB() *gorm.DB { return s.db }

// PostgresConfig is postgresConfig, for tests.
var PostgresConfig = postgresConfig

// IsPostgres tells tests which database they run on.
func (s *Store) IsPostgres() bool { return s.postgres }
