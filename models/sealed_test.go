package models_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Everything that is kept encrypted is in SealedAfter, or it is a canary. A new column of bytes is listed here, with what it
// is. A sealed one must be in SealedAfter and Reseal too, or the removal of a key would lose it.
func TestSealed_EveryColumnOfBytesIsKnown(t *testing.T) {
	t.Parallel()
	known := map[string]string{
		"webhooks.headers":           "sealed",
		"webhooks.secrets":           "sealed",
		"keyset_canary.sealed":       "a canary of its key",
		"api_keys.hash":              "a hash",
		"event_labels.label":         "a hash",
		"events.data":                "plain",
		"attempts.response_body":     "plain",
		"idempotency_keys.body_hash": "a hash",
		"batches.members":            "plain",
		"jobs.members":               "plain",
		"recoveries.members":         "plain",
		"stat_deltas.data":           "plain",
		"stats.data":                 "plain",
	}
	s := sqlite(t)
	var columns []string
	require.NoError(t, s.DB().Raw(`SELECT m.name || '.' || c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND lower(c.type) = 'blob'`).Scan(&columns).Error)
	for _, column := range columns {
		require.Contains(t, known, column)
	}
	require.Len(t, columns, len(known))
}
