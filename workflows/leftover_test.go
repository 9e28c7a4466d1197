package workflows

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Builds before Kind told what a delivery waits for by four booleans. What they began goes on.
func TestALeftoverOfAnEarlierBuild(t *testing.T) {
	t.Parallel()
	due := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const put = `"Due":"2026-01-02T03:04:05Z"`
	for text, want := range map[string]Leftover{
		`{"Delivery":"dlv_1","Wait":10}`:                           {Delivery: "dlv_1", Wait: 10},
		`{"Places":true}`:                                          {},
		`{` + put + `,"Places":true}`:                              {Due: due, Kind: ForSlot},
		`{` + put + `,"Reserved":true}`:                            {Due: due, Kind: ForSlot},
		`{` + put + `,"Reserved":true,"Places":true}`:              {Due: due, Kind: ForSlot},
		`{` + put + `,"Reserved":true,"Paced":true}`:               {Due: due, Kind: AtRate},
		`{` + put + `,"Reserved":true,"Paced":true,"Lapsed":true}`: {Due: due, Kind: AtRate, Lapsed: true},
		`{` + put + `,"Kind":"slot"}`:                              {Due: due, Kind: ForSlot},
		`{` + put + `}`:                                            {Due: due},
	} {
		var got Leftover
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		require.Equal(t, want, got, text)
		again, err := json.Marshal(want)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(again, &got))
		require.Equal(t, want, got)
	}
}
