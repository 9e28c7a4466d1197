package devserver

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
)

// Options say where the server listens, where it keeps its data, and what its namespace looks like. The zero value is a
// server in memory on a free port of the loopback interface, without Web UI.
type Options struct {
	// TemporalAddr is the host:port of the frontend; port 0 takes a free one. Default: 127.0.0.1:0.
	TemporalAddr string
	// UIAddr is the host:port of the Web UI; port 0 takes a free one. Empty: no Web UI.
	UIAddr string
	// UIHosts are URLs whose hosts the Web UI accepts, in addition to loopback names and its own address.
	UIHosts []string

	// DatabaseFile is the path of a SQLite file, created if missing, in a directory that exists. It must not be in use by
	// another server. Empty: everything is kept in memory, unless PostgresURL is set.
	DatabaseFile string
	// PostgresURL (postgres://…/name) keeps the data on Postgres instead: in the named database, and in a second one with
	// `_visibility` after the name. Both are created if missing, and their schemas brought up to date.
	PostgresURL string
	// HistoryShards divides the workflows among locks. A store keeps the number it was created with. Default: 4.
	HistoryShards int

	// Namespace is created if missing. Default: default.
	Namespace string
	// Retention is how long closed workflows stay visible, at least an hour, which is Temporal's own minimum. It
	// applies to an existing namespace too. Default: 14 days.
	Retention time.Duration
	// SearchAttributes are registered in the namespace, new or existing. At most three of type KeywordList: SQL stores
	// have no more.
	SearchAttributes map[string]enumspb.IndexedValueType

	// DynamicConfig overrides settings of the server by their names in Temporal's documentation.
	DynamicConfig map[string]any

	// Logger receives the server's log lines at LogLevel and above. Defaults: slog.Default(), slog.LevelError (many of
	// the server's warnings do not matter on one machine).
	Logger   *slog.Logger
	LogLevel slog.Leveler
}

func (o Options) withDefaults() Options {
	o.TemporalAddr = cmp.Or(o.TemporalAddr, "127.0.0.1:0")
	o.HistoryShards = cmp.Or(o.HistoryShards, 4)
	o.Namespace = cmp.Or(o.Namespace, "default")
	o.Retention = cmp.Or(o.Retention, 14*24*time.Hour)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.LogLevel == nil {
		o.LogLevel = slog.LevelError
	}
	return o
}

func (o Options) validate() error {
	if o.DatabaseFile != "" && o.PostgresURL != "" {
		return errors.New("data is kept in a SQLite file or on Postgres, not in both")
	}
	if o.HistoryShards < 0 {
		return fmt.Errorf("%d history shards: must be positive", o.HistoryShards)
	}
	if o.Retention < time.Hour {
		return fmt.Errorf("retention %s: must be at least an hour", o.Retention)
	}
	return nil
}
