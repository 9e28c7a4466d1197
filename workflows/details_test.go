package workflows

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestTheTableIsBoundedWhateverTheNames(t *testing.T) {
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
				d.open = append(d.open, &Leftover{Delivery: fmt.Sprintf("dlv_%036d", i), Webhook: fmt.Sprintf("whk_%036d", i), Host: evil, Number: 11, Last: evil})
			}
			table := d.table()
			require.Less(t, len(table), 20_000)
			require.True(t, utf8.ValidString(table))
			lines := strings.Split(strings.TrimSpace(table), "\n")
			require.Equal(t, "3 delivered, 0 failed, 0 stopped, 256 being retried, 2 waiting for their first attempt", lines[0])
			rows := lines[4 : len(lines)-2]
			require.Len(t, rows, maxRows)
			for _, row := range rows {
				require.Equal(t, 6, strings.Count(row, "|"), row)
				require.NotContains(t, row, "<")
				require.NotContains(t, row, "`")
			}
			require.Equal(t, "and 216 more", lines[len(lines)-1])
		})
	}
}

func TestTheTableOfNothingIsALine(t *testing.T) {
	t.Parallel()
	d := &dispatch{result: DeliverResult{Delivered: 1, Failed: 2, Stopped: 3}}
	require.Equal(t, "1 delivered, 2 failed, 3 stopped, 0 being retried\n", d.table())
}
