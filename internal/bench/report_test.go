package bench

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBenchReport_CountIsComplete(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		count    Count
		doubtful int64
		want     bool
	}{
		{"all delivered", Count{Expected: 10, Delivered: 10, Received: 10}, 0, true},
		{"some on their way", Count{Expected: 10, Delivered: 4, Pending: 3, Held: 2, Failed: 1, Received: 6}, 0, true},
		{"received twice", Count{Expected: 10, Delivered: 10, Received: 10, Duplicates: 3}, 0, true},
		{"one missing", Count{Expected: 10, Delivered: 9, Received: 10}, 0, false},
		{"one too many", Count{Expected: 10, Delivered: 11, Received: 11}, 0, false},
		{"one that was not answered", Count{Expected: 10, Delivered: 11, Received: 11}, 1, true},
		{"called delivered, and not received", Count{Expected: 10, Delivered: 10, Received: 9}, 0, false},
		{"canceled by nobody", Count{Expected: 10, Delivered: 9, Canceled: 1, Received: 10}, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.count.judge(tt.doubtful)
			require.Equal(t, tt.want, tt.count.Complete)
			r := Report{Results: []Result{{Count: Count{Complete: true}}, {Count: tt.count}}}
			require.Equal(t, tt.want, r.Complete())
		})
	}
}

func TestBenchReport_TextSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	r := Report{Results: []Result{{Scenario: "saturate", Load: "64 callers", Deliveries: 2000, Seconds: 2, DeliveriesPerSecond: 1000,
		EndToEnd: &Percentiles{Count: 9, P50: 1.25, P99: 9}, Usage: &Usage{CPUSeconds: 2, CPUPerThousand: 1, PeakMiB: 300, Processes: []ProcessUsage{{"postgres", 2, 300}}},
		Database: &Database{TransactionsPerDelivery: 3}, Workflows: &Workflows{Starts: 7}}}}
	var b strings.Builder
	require.NoError(t, r.Text(&b))
	for _, want := range []string{"saturate: 64 callers", "2000 in 2.0 s, 1000/s; NOT ALL IN TIME", "p50 1.2 ms", "1.00 s per 1,000 deliveries", "postgres", "3.00 transactions", "7 started", "NOT COMPLETE"} {
		require.Contains(t, b.String(), want)
	}
}
