package workflows

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestDetails_TheTableIsBoundedWhateverTheNames(t *testing.T) {
	t.Parallel()
	for name, evil := range map[string]string{
		"table":     "a | b\n\n| c | d |\r\n# heading\n",
		"markup":    "<script>alert(1)</script> `code` ",
		"long":      strings.Repeat("ü", 10_000),
		"not UTF-8": strings.Repeat("\xff\xfe", 500),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &dispatch{result: DeliverResult{Delivered: 3}, queued: 2}
			for i := range 256 {
				d.open = append(d.open, &Leftover{Delivery: fmt.Sprintf("dlv_%036d", i), Webhook: fmt.Sprintf("whk_%036d", i), Name: evil, EventType: evil, Host: evil, Number: 11, Last: evil})
			}
			table := d.table()
			require.Less(t, len(table), 20_000)
			require.True(t, utf8.ValidString(table))
			lines := strings.Split(strings.TrimSpace(table), "\n")
			require.Equal(t, "3 delivered, 256 being retried, 2 waiting for the first attempt", lines[0])
			rows := lines[4 : len(lines)-2]
			require.LessOrEqual(t, len(rows), maxRows)
			require.Greater(t, len(rows), maxRows/2)
			for _, row := range rows {
				require.Equal(t, 5, strings.Count(row, "|"), row)
				require.NotContains(t, row, "<")
				require.NotContains(t, row, "`")
			}
			require.Equal(t, fmt.Sprintf("and %d more", 256-len(rows)), lines[len(lines)-1])
		})
	}
}

func TestDetails_TheTableOfNothingIsALine(t *testing.T) {
	t.Parallel()
	d := &dispatch{result: DeliverResult{Delivered: 1, Failed: 2, Stopped: 3}}
	require.Equal(t, "1 delivered, 2 failed, 3 held, canceled or superseded\n", d.table())
}

// The result of a dispatch keeps the contents of the table: a sentence, and a limited number of rows that lead back to
// the deliveries (C4).
func TestDetails_TheResultSaysWhatBecameOfWhatAndWhy(t *testing.T) {
	t.Parallel()
	d := &dispatch{in: DeliverInput{About: &About{What: "order.created of acme to Orders (orders.example)", Console: "https://hooks.example/console"}}}
	left := &Leftover{Tenant: "acme~abcdefgh", Slug: "acme", Delivery: "dlv_1", EventType: "order.created", Webhook: "wh_1", Name: "Orders", Host: "orders.example", Number: 11}
	ended := &Ended{Status: Failed, Reason: "503 Service Unavailable", Tenant: "acme", EventType: "order.created", Webhook: "wh_1", Name: "Orders",
		Host: "orders.example", Delivery: "dlv_1", Attempts: 11}
	d.end(Outcome{Status: Failed, Ended: ended}, left)
	require.Equal(t, "order.created of acme to Orders (orders.example): failed after 11 attempts: 503 Service Unavailable.", d.sentence())
	ended.Link = "https://hooks.example/console/tenants/acme/deliveries/dlv_1"
	require.Equal(t, []Ended{*ended}, d.result.NotDelivered)
	require.Contains(t, d.table(), "| order.created to Orders (orders.example) | failed | 503 Service Unavailable | [dlv_1](https://hooks.example/console/tenants/acme/deliveries/dlv_1) |")

	d.end(Outcome{Status: Delivered}, left)
	d.end(Outcome{Status: Held}, left) // of a build that does not say why
	d.abandon(*left)
	require.Equal(t, "order.created of acme to Orders (orders.example): 1 delivered, 1 failed, 1 held, 1 superseded by another workflow.", d.sentence())
	require.Equal(t, ended.Link, d.result.NotDelivered[2].Link)
	require.Equal(t, Failed, d.status())
}

func TestDetails_TheRowsOfAResultAreBounded(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"long": strings.Repeat("ü", 10_000), "escaped": strings.Repeat("<&>", 1000), "not UTF-8": strings.Repeat("\xff", 500), "short": "x"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &dispatch{}
			round := Round{Failed: 200}
			for range 40 {
				round.NotDelivered = append(round.NotDelivered, Ended{Status: Failed, Reason: text, Name: text, Host: text, EventType: text, Delivery: "dlv_1"})
			}
			d.take(round)
			d.take(round)
			again := &dispatch{in: DeliverInput{}, result: d.result} // the next run
			again.take(round)
			encoded, err := json.Marshal(again.result)
			require.NoError(t, err)
			require.Less(t, len(encoded), 20_000)
			require.Equal(t, 600, again.result.Failed)
			require.Equal(t, 600, len(again.result.NotDelivered)+again.result.Unlisted)
			require.LessOrEqual(t, len(again.result.NotDelivered), 40)
			require.NotEmpty(t, again.result.NotDelivered)
		})
	}
}

func TestDetails_TheStatusIsTheWorstThatMatters(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]DeliverResult{
		Failed:     {Failed: 1, Held: 1, Delivered: 1},
		Held:       {Held: 1, Delivered: 1},
		Delivered:  {Delivered: 1, Canceled: 1, Superseded: 1},
		Canceled:   {Canceled: 1, Superseded: 1},
		Superseded: {Superseded: 1},
		Stopped:    {Stopped: 1}, // of an earlier build
	} {
		require.Equal(t, want, (&dispatch{result: r}).status())
	}
}
