package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/posthorn/posthorn/internal/bench"
)

// page is docs/benchmarks.md.
type page struct{ columns []column }

// column is an arrangement with its results.
type column struct {
	mode
	report  *bench.Report
	results map[string]*bench.Result
}

func (p *page) add(m mode, r *bench.Report) {
	c := column{mode: m, report: r, results: map[string]*bench.Result{}}
	for i := range r.Results {
		c.results[r.Results[i].Scenario] = &r.Results[i]
	}
	p.columns = append(p.columns, c)
}

// goal is one line of the table: the required value, a better one, and the result.
type goal struct {
	what, must, aim string
	scenario        string
	got             func(r *bench.Result) string
}

var goals = []goal{
	{"end to end at 20 events/s, p50 / p99", "12 / 40 ms", "6 / 20 ms", "latency", endToEnd},
	{"sustained, post → delivered and recorded, 64 callers", "2,000/s", "4,000/s", "saturate", perSecond},
	{"CPU-seconds per 1,000 deliveries, all processes except load and receiver", "≤ 1.0", "0.6", "saturate", func(r *bench.Result) string {
		if r.Usage == nil {
			return ""
		}
		return fmt.Sprintf("%.2f", r.Usage.CPUPerThousand)
	}},
	{"1 event → 10 webhooks, deliveries", "3,000/s", "6,000/s", "fanout", perSecond},
	{"another webhook's p50 / p99 while 3,000 deliveries wait on a 1 s receiver, 5 events/s", "20 / 100 ms", "10 / 50 ms", "noisy", endToEnd},
	{"ingest through the batch call, accepted durably", "8,000/s", "20,000/s", "batch", func(r *bench.Result) string {
		return bench.Grouped(r.AcceptedPerSecond) + "/s"
	}},
	{"memory at saturation, all processes", "≤ 800 MiB", "", "saturate", func(r *bench.Result) string {
		if r.Usage == nil {
			return ""
		}
		return fmt.Sprintf("%.0f MiB", r.Usage.PeakMiB)
	}},
}

func endToEnd(r *bench.Result) string {
	if r.EndToEnd == nil {
		return ""
	}
	return fmt.Sprintf("%.1f / %.1f ms", r.EndToEnd.P50, r.EndToEnd.P99)
}

func perSecond(r *bench.Result) string {
	text := bench.Grouped(r.DeliveriesPerSecond) + "/s"
	if !r.Drained {
		text += ", not all in time"
	}
	return text
}

// write writes the page.
func (p *page) write(w io.Writer) {
	first := p.columns[0].report
	fmt.Fprintf(w, `# Benchmarks

Written by %[1]smake bench%[1]s, which repeats the measurements. Everything runs on one machine, including the load generator and the
receiver. They use some of its processor time, so the figures are a lower bound for a machine of that size.

%[2]s, %[3]s. Each event has %[4]d bytes of data. An event is committed before its call is answered.
A delivery counts once its result is recorded. A rate is the number of deliveries divided by the time from the first call to the
last record.
`, "`", first.At.Format("2 January 2006"), first.Machine, first.Options.PayloadBytes)
	if s := p.postgres(); s != "" {
		fmt.Fprintf(w, "\nPostgreSQL: %s. Temporal: the server Posthorn embeds, as a process of its own, %d history shards.\n", s, shards)
	}
	p.goals(w)
	p.bare(w)
	p.mass(w)
	p.console(w)
	p.volume(w)
	for _, c := range p.columns {
		if len(c.report.Results) == 0 {
			continue
		}
		c.details(w)
	}
}

func (p *page) postgres() string {
	for _, c := range p.columns {
		if s := c.report.Postgres; len(s) > 0 {
			var parts []string
			for _, name := range slices.Sorted(maps.Keys(s)) {
				parts = append(parts, name+" "+s[name])
			}
			return strings.Join(parts, ", ")
		}
	}
	return ""
}

func (p *page) goals(w io.Writer) {
	// growth is measured with its own loads
	columns := slices.DeleteFunc(slices.Clone(p.columns), func(c column) bool {
		return !slices.ContainsFunc(goals, func(g goal) bool { return c.results[g.scenario] != nil })
	})
	if len(columns) == 0 {
		p.arrangements(w)
		return
	}
	fmt.Fprint(w, "\n## Goals and results\n\n|  | must reach | aim |")
	for _, c := range columns {
		fmt.Fprintf(w, " %s |", c.name)
	}
	fmt.Fprint(w, "\n|---|---|---|"+strings.Repeat("---|", len(columns))+"\n")
	for _, g := range goals {
		fmt.Fprintf(w, "| %s | %s | %s |", g.what, g.must, g.aim)
		for _, c := range columns {
			text := none
			if r := c.results[g.scenario]; r != nil {
				text = g.got(r)
			}
			fmt.Fprintf(w, " %s |", text)
		}
		fmt.Fprintln(w)
	}
	p.arrangements(w)
}

// arrangements explains the columns.
func (p *page) arrangements(w io.Writer) {
	fmt.Fprintln(w)
	for _, c := range p.columns {
		fmt.Fprintf(w, "- **%s**: %s\n", c.name, c.about)
	}
}

// details writes all results of one arrangement.
func (c *column) details(w io.Writer) {
	fmt.Fprintf(w, "\n## %s\n\n", c.name)
	var rows [][]string
	row := func(name string, cell func(*bench.Result) string) {
		r := []string{name}
		for i := range c.report.Results {
			r = append(r, cell(&c.report.Results[i]))
		}
		rows = append(rows, r)
	}
	row("", func(r *bench.Result) string { return r.Scenario })
	row("accepted", func(r *bench.Result) string {
		return bench.Grouped(float64(r.Accepted)) + ", " + bench.Grouped(r.AcceptedPerSecond) + "/s"
	})
	row("refused, unknown", func(r *bench.Result) string { return fmt.Sprintf("%d, %d", r.Refused, r.Unknown) })
	row("delivered", func(r *bench.Result) string { return bench.Grouped(float64(r.Deliveries)) + ", " + perSecond(r) })
	row("end to end, p50 / p90 / p99 / max, ms", func(r *bench.Result) string { return spread(r.EndToEnd) })
	row("call, p50 / p90 / p99 / max, ms", func(r *bench.Result) string { return spread(r.Call) })
	row("reading a page of a list, p50 / p90 / p99 / max, ms", func(r *bench.Result) string { return spread(r.List) })
	if slices.ContainsFunc(c.report.Results, func(r bench.Result) bool { return r.Waiting > 0 }) {
		row("deliveries waiting for the slow receiver, at least", func(r *bench.Result) string { return figure("%.0f", float64(r.Waiting)) })
	}
	if slices.ContainsFunc(c.report.Results, func(r bench.Result) bool { return r.Limits != nil }) {
		row("POSTs per second and its limit; POSTs in flight and their limit", optional(func(r *bench.Result) *bench.Limits { return r.Limits }, func(l *bench.Limits) string {
			return fmt.Sprintf("%.1f/s, at most %d in one second, of %g/s; %d of %d", l.Rate, l.MostInASecond, l.RateLimit, l.InFlight, l.MaxInFlight)
		}))
	}
	row("workflows per event", optional(func(r *bench.Result) *bench.Workflows { return r.Workflows }, func(f *bench.Workflows) string { return fmt.Sprintf("%.3f", f.StartsPerEvent) }))
	row("deliveries per dispatch", optional(func(r *bench.Result) *bench.Workflows { return r.Workflows }, func(f *bench.Workflows) string { return fmt.Sprintf("%.1f", f.MeanSize) }))
	row("deliveries that the reconciler took over", optional(func(r *bench.Result) *bench.Workflows { return r.Workflows }, func(f *bench.Workflows) string { return fmt.Sprint(f.Catches) }))
	database := func(r *bench.Result) *bench.Database { return r.Database }
	row("goroutines after the load", optional(func(r *bench.Result) *bench.Workflows { return r.Workflows }, func(f *bench.Workflows) string { return fmt.Sprint(f.Goroutines) }))
	row("transactions per delivery", optional(database, func(d *bench.Database) string { return figure("%.2f", d.TransactionsPerDelivery) }))
	row("bytes of WAL per delivery", optional(database, func(d *bench.Database) string {
		if d.WALBytesPerDelivery == 0 {
			return none
		}
		return bench.Grouped(d.WALBytesPerDelivery)
	}))
	usage := func(r *bench.Result) *bench.Usage { return r.Usage }
	row("CPU-seconds per 1,000 deliveries", optional(usage, func(u *bench.Usage) string { return figure("%.2f", u.CPUPerThousand) }))
	row("CPU-seconds by process", optional(usage, byProcess(func(p bench.ProcessUsage) string { return fmt.Sprintf("%.1f", p.CPUSeconds) })))
	row("CPU-seconds of load and receiver, of the machine", optional(usage, func(u *bench.Usage) string { return fmt.Sprintf("%.1f, %.1f", u.Load.CPUSeconds, u.HostCPUSeconds) }))
	row("peak memory, MiB", optional(usage, func(u *bench.Usage) string { return fmt.Sprintf("%.0f", u.PeakMiB) }))
	row("peak memory by process, MiB", optional(usage, byProcess(func(p bench.ProcessUsage) string { return fmt.Sprintf("%.0f", p.PeakMiB) })))
	row("all deliveries = delivered + pending + held + failed", func(r *bench.Result) string {
		text := fmt.Sprintf("%d = %d + %d + %d + %d", r.Count.Expected, r.Count.Delivered, r.Count.Pending, r.Count.Held, r.Count.Failed)
		if !r.Count.Complete {
			text += " **incomplete**"
		}
		return text
	})
	row("received twice", func(r *bench.Result) string { return fmt.Sprint(r.Count.Duplicates) })
	for i, r := range rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(r, " | "))
		if i == 0 {
			fmt.Fprintf(w, "|%s\n", strings.Repeat("---|", len(r)))
		}
	}
	fmt.Fprintln(w)
	for _, r := range c.report.Results {
		fmt.Fprintf(w, "- %s: %s\n", r.Scenario, r.Load)
	}
}

func spread(p *bench.Percentiles) string {
	if p == nil {
		return none
	}
	return fmt.Sprintf("%.1f / %.1f / %.1f / %.1f", p.P50, p.P90, p.P99, p.Max)
}

// none stands in the place of a missing result.
const none = "–"

// figure shows a number, and none for 0. A number is 0 only when it means nothing: per delivery, while others share the
// machine.
func figure(format string, f float64) string {
	if f == 0 {
		return none
	}
	return fmt.Sprintf(format, f)
}

// optional shows a result that may be missing.
func optional[T any](of func(*bench.Result) *T, show func(*T) string) func(*bench.Result) string {
	return func(r *bench.Result) string {
		if v := of(r); v != nil {
			return show(v)
		}
		return none
	}
}

func byProcess(show func(bench.ProcessUsage) string) func(*bench.Usage) string {
	return func(u *bench.Usage) string {
		var parts []string
		for _, p := range u.Processes {
			parts = append(parts, p.Name+" "+show(p))
		}
		return strings.Join(parts, ", ")
	}
}
