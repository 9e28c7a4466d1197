package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/bench"
)

func TestBenchPage_ShowsGoalsBesideResults(t *testing.T) {
	t.Parallel()
	usage := &bench.Usage{Processes: []bench.ProcessUsage{{Name: "postgres", CPUSeconds: 3, PeakMiB: 100}, {Name: "posthorn", CPUSeconds: 5, PeakMiB: 50}},
		CPUPerThousand: 0.8, PeakMiB: 150}
	var p page
	p.add(mode{name: "serve", about: "all of it"}, &bench.Report{
		Options: bench.Told{PayloadBytes: 1024}, Postgres: map[string]string{"fsync": "on", "synchronous_commit": "on"},
		Results: []bench.Result{
			{Scenario: "latency", Drained: true, EndToEnd: &bench.Percentiles{P50: 7.25, P99: 21}, Count: bench.Count{Complete: true}},
			{Scenario: "saturate", Load: "64 callers", Drained: true, DeliveriesPerSecond: 12345.6, Usage: usage,
				Database: &bench.Database{TransactionsPerDelivery: 1.5, WALBytesPerDelivery: 4096}, Workflows: &bench.Workflows{StartsPerEvent: .01},
				Count: bench.Count{Expected: 9, Delivered: 7, Held: 1, Failed: 1, Duplicates: 4, Complete: true}},
		}})
	p.add(mode{name: "dev", about: "in one"}, &bench.Report{Results: []bench.Result{
		{Scenario: "saturate", DeliveriesPerSecond: 999}}})
	var b strings.Builder
	p.write(&b)
	for _, want := range []string{
		"PostgreSQL: fsync on, synchronous_commit on.",
		"|  | must reach | aim | serve | dev |\n|---|---|---|---|---|\n",
		"| end to end at 20 events/s, p50 / p99 | 12 / 40 ms | 6 / 20 ms | 7.2 / 21.0 ms | – |\n",
		"64 callers | 2,000/s | 4,000/s | 12,346/s | 999/s, not all in time |\n",
		"| ≤ 1.0 | 0.6 | 0.80 |  |\n",
		"- **dev**: in one\n",
		"\n## serve\n\n|  | latency | saturate |\n|---|---|---|\n",
		"| CPU-seconds by process | – | postgres 3.0, posthorn 5.0 |\n",
		"| transactions per delivery | – | 1.50 |\n",
		"| 9 = 7 + 0 + 1 + 1 |\n",
		"| 0 = 0 + 0 + 0 + 0 **incomplete** |\n",
		"- saturate: 64 callers\n",
	} {
		require.Contains(t, b.String(), want)
	}
}

func TestBenchPage_Thousands(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]float64{"0": .4, "999": 999.4, "1,000": 999.5, "12,346": 12345.6, "1,234,567": 1234567} {
		require.Equal(t, want, bench.Grouped(f))
	}
}

func TestBenchPage_ShowsWorkflowsThatDoNothing(t *testing.T) {
	t.Parallel()
	usage := &bench.Usage{Processes: []bench.ProcessUsage{{Name: "postgres", CPUSeconds: 3}, {Name: "temporal", CPUSeconds: 6}}, CPUSeconds: 9,
		Load: bench.ProcessUsage{CPUSeconds: 1}}
	var p page
	p.add(mode{name: "temporal", about: "no Posthorn"}, &bench.Report{Bare: bareFigures(5, 800, usage)})
	var b strings.Builder
	p.write(&b)
	require.Contains(t, b.String(), "| **5 start at once** | CPU for a workflow, in all |  | 12.5 ms |\n"+
		"|  | CPU for a workflow, postgres |  | 3.8 ms |\n|  | CPU for a workflow, temporal |  | 7.5 ms |\n|  | CPU for a workflow, worker |  | 1.2 ms |\n")
	require.NotContains(t, b.String(), "## temporal", "it has no loads")
	require.Empty(t, bareFigures(5, 800, nil), "nothing was measured")
}

func TestBenchPage_ShowsMassBesideItself(t *testing.T) {
	t.Parallel()
	var p page
	p.add(mode{name: "serve", about: "all of it"}, &bench.Report{Mass: []bench.Figure{
		{Part: "quiet", What: "p50 / p99", Got: "10 / 40"},
		{Part: "dead", What: "POSTs", Must: "few", Got: "3,100"},
		{Part: "dead", What: "p50 / p99", Got: "12 / 60"},
	}})
	p.add(mode{name: "dev", about: "in one"}, &bench.Report{Results: []bench.Result{{Scenario: "saturate"}}})
	p.add(mode{name: "workers-1", about: "apart"}, &bench.Report{Mass: []bench.Figure{
		{Part: "dead", What: "went wrong", Got: "a timeout"},
		{Part: "hold", What: "pause is answered", Got: "3.0 ms"},
	}})
	var b strings.Builder
	p.write(&b)
	require.Contains(t, b.String(), `
## When everything fails
`)
	require.Contains(t, b.String(), `
| part |  | must reach | serve | workers-1 |
|---|---|---|---|---|
| **quiet** | p50 / p99 |  | 10 / 40 | – |
| **dead** | POSTs | few | 3,100 | – |
|  | p50 / p99 |  | 12 / 60 | – |
|  | went wrong |  | – | a timeout |
| **hold** | pause is answered |  | – | 3.0 ms |
`)
	require.NotContains(t, b.String(), "\n## serve\n", "an arrangement that only mass was run with has no table of its own")
}

func TestBenchPage_ShowsTheConsole(t *testing.T) {
	t.Parallel()
	var p page
	p.add(mode{name: "serve", about: "all of it"}, &bench.Report{Console: []bench.Figure{
		{Part: "console", What: "overview", Must: "p99 < 200 ms", Got: "8.0 / 11.0 ms"},
		{Part: "console", What: "webhook", Must: "p99 < 200 ms", Got: "5.0 / 9.0 ms"},
	}})
	p.add(mode{name: "dev", about: "in one"}, &bench.Report{Results: []bench.Result{{Scenario: "saturate"}}})
	var b strings.Builder
	p.write(&b)
	require.Contains(t, b.String(), "\n## The console\n")
	require.Contains(t, b.String(), `
| part |  | must reach | serve |
|---|---|---|---|
| **console** | overview | p99 < 200 ms | 8.0 / 11.0 ms |
|  | webhook | p99 < 200 ms | 5.0 / 9.0 ms |
`)
	require.NotContains(t, b.String(), "## When everything fails")
}

func TestBenchPage_ShowsALargeDatabase(t *testing.T) {
	t.Parallel()
	var p page
	p.add(mode{name: "serve", about: "all of it"}, &bench.Report{Volume: []bench.Figure{{Part: "retention", What: "VACUUM (ANALYZE) events", Got: "7s"}}})
	var b strings.Builder
	p.write(&b)
	require.Contains(t, b.String(), "\n## Ten million deliveries\n")
	require.Contains(t, b.String(), "\n| **retention** | VACUUM (ANALYZE) events |  | 7s |\n")
}

func TestBenchPage_BacklogsAreNumbers(t *testing.T) {
	t.Parallel()
	var s settings
	require.NoError(t, s.backlogs("50000,200000"))
	require.Equal(t, []int{50_000, 200_000}, s.mass.Backlogs)
	for _, text := range []string{"", "0", "-5", "1,x", "1,"} {
		require.ErrorContains(t, s.backlogs(text), "is no number of deliveries", text)
	}
}

func TestBenchPage_MassIsMeasuredWhereItIsWanted(t *testing.T) {
	t.Parallel()
	wanted := func(scenarios ...string) (names []string) {
		s := settings{scenarios: scenarios}
		for _, m := range modes {
			if s.wants(m) {
				names = append(names, m.name)
			}
		}
		return names
	}
	require.Equal(t, []string{"serve", "workers-1"}, wanted("mass"))
	require.Equal(t, []string{"serve", "workers-2", "workers-4"}, wanted("limits"))
	require.Equal(t, []string{"temporal"}, wanted(bareName))
	require.Equal(t, []string{"serve"}, wanted("console"))
	require.Equal(t, []string{"serve"}, wanted("volume"))
	s := settings{}
	require.False(t, s.named("volume"), "it takes an hour and 40 GB, and runs only when it is asked for")
	require.Len(t, wanted(), len(modes))
}

// Whatever is changed for a load is changed back: what comes after is measured without it.
func TestBenchPage_WhatIsPreparedIsUndone(t *testing.T) {
	t.Parallel()
	prepared := 0
	for _, m := range modes {
		for _, l := range m.loads {
			require.Equal(t, l.prepare == nil, l.undo == nil, "%s: %s", m.name, l.name)
			if l.prepare != nil {
				prepared++
			}
		}
	}
	require.Equal(t, 1, prepared)
	loads := price()
	first, last := loads[0], loads[len(loads)-1]
	require.Equal(t, []any{first.scenario, first.length, first.flags}, []any{last.scenario, last.length, last.flags}, "how far they are apart is how much a difference means")
}
