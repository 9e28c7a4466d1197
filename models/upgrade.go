//go:build upgrade

package models

// This build is a later version for test/rolling: it adds a column and an index to tables that are in use.
func init() {
	for id, text := range map[string]string{
		"9000_column": "ALTER TABLE deliveries ADD COLUMN later text NOT NULL DEFAULT '';\nALTER TABLE webhooks ADD COLUMN later text NOT NULL DEFAULT '';\n",
		"9001_index":  "-- online\nCREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_later ON deliveries (later, id);\n",
	} {
		further[id] = text
	}
	migrations = append(migrations, "9000_column", "9001_index")
}
