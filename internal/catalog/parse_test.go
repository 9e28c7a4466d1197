package catalog

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCatalog_ParseRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ raw, message string }{
		"what is not JSON": {`{`, "unexpected EOF"},
		"unknown fields":   {`{"event_typs":[]}`, `unknown field "event_typs"`},
		"a missing schema": {`{"schemas":{"a":{}},"event_types":[{"name":"x","schema":"b"}]}`, `event type "x": no schema "b"`},
		"no schema at all": {`{"event_types":[{"name":"x"}]}`, `event type "x": no schema ""`},
	} {
		_, err := parse([]byte(tc.raw))
		require.ErrorContains(t, err, tc.message, name)
	}
}
