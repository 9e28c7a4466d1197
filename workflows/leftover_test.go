package workflows

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Builds before Kind said with four booleans what a delivery waits for. Their workflows continue.
func TestLeftover_OfAnEarlierBuild(t *testing.T) {
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

// Values that several deliveries share are written once, in their order, and read as if each delivery had its own.
func TestLeftover_ShareWhatIsTheSame(t *testing.T) {
	t.Parallel()
	due := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	one := Leftover{Tenant: "acme", Delivery: "dlv_1", EventType: "order.created", Webhook: "wh_1", Name: "Orders", Host: "receiver.example",
		Number: 2, Remaining: 9, Wait: 31 * time.Second, Timeout: 30 * time.Second, Last: "the receiver answered 503"}
	two, other, rated := one, one, one
	two.Delivery, two.Wait = "dlv_2", 0
	other.Delivery, other.EventType, other.called = "dlv_3", "order.paid", true
	rated.Delivery, rated.Kind, rated.Due, rated.Lapsed = "dlv_4", AtRate, due, true
	for name, all := range map[string]Leftovers{"none": nil, "one": {one}, "in a row": {one, two}, "apart": {one, other, two}, "kinds": {rated, one, rated, rated}} {
		text, err := json.Marshal(AttemptManyInput{Deliveries: all})
		require.NoError(t, err)
		var got AttemptManyInput
		require.NoError(t, json.Unmarshal(text, &got))
		want := append(Leftovers(nil), all...)
		for i := range want {
			want[i].called = false
		}
		require.Equal(t, want, got.Deliveries, "%s: %s", name, text)
		byThemselves, err := json.Marshal([]Leftover(all))
		require.NoError(t, err)
		var apart Leftovers
		require.NoError(t, json.Unmarshal(byThemselves, &apart), "as builds before wrote it")
		require.Equal(t, want, apart, "%s: %s", name, byThemselves)
	}
	var many Leftovers
	for i := range 256 {
		l := one
		l.Delivery, l.Wait = "dlv_01a22378-dc05-7c9e-b7d5-e71af4894af0", time.Duration(30_000+i)*time.Millisecond
		many = append(many, l)
	}
	text, err := json.Marshal(many)
	require.NoError(t, err)
	require.Less(t, len(text), 256*90)
}
