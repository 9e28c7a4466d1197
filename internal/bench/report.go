package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report has all results, and describes the machine.
type Report struct {
	At       time.Time         `json:"at"`
	Machine  Machine           `json:"machine"`
	Options  Told              `json:"options"`
	Postgres map[string]string `json:"postgres,omitempty"` // settings that matter
	Results  []Result          `json:"results"`
	Bare     []Figure          `json:"bare,omitempty"`
	Mass     []Figure          `json:"mass,omitempty"`
	Console  []Figure          `json:"console,omitempty"`
	Volume   []Figure          `json:"volume,omitempty"`
}

// Told are the options that a reader needs to repeat the run.
type Told struct {
	DurationSeconds float64 `json:"duration_seconds"`
	WarmUpSeconds   float64 `json:"warm_up_seconds"`
	PayloadBytes    int     `json:"payload_bytes"`
	Tenants         int     `json:"tenants"`
	IdleWebhooks    int     `json:"idle_webhooks"`
	StoredEvents    int     `json:"stored_events"`
}

func (o Options) told() Told {
	return Told{DurationSeconds: o.Duration.Seconds(), WarmUpSeconds: o.WarmUp.Seconds(), PayloadBytes: o.Payload, Tenants: o.Tenants, IdleWebhooks: o.Idle, StoredEvents: o.Stored}
}

// Result is the result of a scenario.
type Result struct {
	Scenario string `json:"scenario"`
	Load     string `json:"load"`
	// Seconds are from the first POST of an event until everything accepted was delivered and recorded.
	Seconds float64 `json:"seconds"`
	// Drained is false if this did not happen in time: then deliveries are still on their way.
	Drained bool `json:"drained"`

	Accepted          int64   `json:"accepted"` // events
	AcceptedPerSecond float64 `json:"accepted_per_second"`
	Refused           int64   `json:"refused"` // events answered with 503 or 429
	Unknown           int64   `json:"unknown"` // events without an answer, or with another 5xx

	Deliveries          int64   `json:"deliveries"`
	DeliveriesPerSecond float64 `json:"deliveries_per_second"`

	EndToEnd *Percentiles `json:"end_to_end"` // from the start of the POST to the reception
	Call     *Percentiles `json:"call"`       // from the start of the POST to its 202

	// Waiting is the smallest number of deliveries that waited for the slow receiver during the load.
	Waiting int64 `json:"waiting,omitempty"`

	List *Percentiles `json:"list"` // reading a page of stored deliveries, afterwards

	Limits    *Limits    `json:"limits,omitempty"`
	Usage     *Usage     `json:"usage,omitempty"`
	Database  *Database  `json:"database,omitempty"`
	Workflows *Workflows `json:"workflows,omitempty"`
	Count     Count      `json:"count"`
}

// Count says what happened to every delivery, including those of the warm-up.
type Count struct {
	Events   int64 `json:"events"`   // accepted
	Expected int64 `json:"expected"` // deliveries of them

	// Posthorn's view of them.
	Delivered int64 `json:"delivered"`
	Pending   int64 `json:"pending"`
	Held      int64 `json:"held"`
	Failed    int64 `json:"failed"`
	Canceled  int64 `json:"canceled"`

	// The receiver's view.
	Received   int64 `json:"received"`   // each once
	Duplicates int64 `json:"duplicates"` // received again
	Refusals   int64 `json:"refusals"`   // failed on purpose
	Strange    int64 `json:"strange"`    // requests that were not deliveries

	// Complete: no accepted delivery is missing, and every delivery that is recorded as delivered arrived.
	Complete bool `json:"complete"`
}

// judge decides whether the count is complete. doubtful deliveries may exist or not: their events were not answered
// with 202.
func (c *Count) judge(doubtful int64) {
	all := c.Delivered + c.Pending + c.Held + c.Failed + c.Canceled
	c.Complete = c.Expected <= all && all <= c.Expected+doubtful && c.Delivered <= c.Received && c.Canceled == 0
}

// Complete reports whether every scenario's count is.
func (r *Report) Complete() bool {
	for i := range r.Results {
		if !r.Results[i].Count.Complete {
			return false
		}
	}
	return true
}

// Text writes the report for people.
func (r *Report) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\n", r.At.Format(time.RFC3339), r.Machine)
	for i := range r.Results {
		b.WriteByte('\n')
		r.Results[i].text(&b)
	}
	figuresText(&b, r.Figures())
	_, err := io.WriteString(w, b.String())
	return err
}

// Figures returns those of all scenarios that are no load, in the order of the page.
func (r *Report) Figures() []Figure { return slices.Concat(r.Bare, r.Mass, r.Console, r.Volume) }

// figuresText writes figures part by part.
func figuresText(w io.Writer, figures []Figure) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	part := ""
	for _, f := range figures {
		if f.Part != part {
			fmt.Fprintf(table, "\n%s\t\n", f.Part)
			part = f.Part
		}
		fmt.Fprintf(table, "  %s\t%s\n", f.What, f.Got)
	}
	_ = table.Flush()
}

func (r *Result) text(w io.Writer) {
	fmt.Fprintf(w, "%s: %s\n", r.Scenario, r.Load)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, values ...any) {
		fmt.Fprintf(table, "  %s\t"+format+"\n", append([]any{name}, values...)...)
	}
	line("accepted", "%d events, %.0f/s; %d refused, %d unknown", r.Accepted, r.AcceptedPerSecond, r.Refused, r.Unknown)
	rest := ""
	if !r.Drained {
		rest = "; NOT ALL IN TIME"
	}
	line("delivered", "%d in %.1f s, %.0f/s%s", r.Deliveries, r.Seconds, r.DeliveriesPerSecond, rest)
	for _, p := range []struct {
		name string
		*Percentiles
	}{{"end to end", r.EndToEnd}, {"call", r.Call}, {"list", r.List}} {
		if p.Percentiles != nil {
			line(p.name, "p50 %.1f ms, p90 %.1f, p99 %.1f, p99.9 %.1f, max %.1f", p.P50, p.P90, p.P99, p.P999, p.Max)
		}
	}
	if r.Waiting > 0 {
		line("beside", "at least %d waited for the slow receiver", r.Waiting)
	}
	if l := r.Limits; l != nil {
		line("limits", "%.1f/s of %g/s, at most %d in one second; at most %d in flight of %d", l.Rate, l.RateLimit, l.MostInASecond, l.InFlight, l.MaxInFlight)
	}
	if u := r.Usage; u != nil {
		line("processor", "%.2f s%s; machine %.2f s, of that load and receiver %.2f s", u.CPUSeconds, perThousand(u), u.HostCPUSeconds, u.Load.CPUSeconds)
		line("memory", "%.0f MiB at most, all together", u.PeakMiB)
		for _, p := range u.Processes {
			line("  "+p.Name, "%.2f s, %.0f MiB", p.CPUSeconds, p.PeakMiB)
		}
	}
	if d := r.Database; d != nil {
		line("database", "%.2f transactions and %.0f bytes of WAL a delivery; %v", d.TransactionsPerDelivery, d.WALBytesPerDelivery, d.Transactions)
	}
	if f := r.Workflows; f != nil {
		line("workflows", "%d started, %.3f an event, %.1f deliveries each; %d taken over by the reconciler; %d goroutines after the load",
			f.Starts, f.StartsPerEvent, f.MeanSize, f.Catches, f.Goroutines)
	}
	c := r.Count
	verdict := "complete"
	if !c.Complete {
		verdict = "NOT COMPLETE"
	}
	line("count", "%d deliveries = %d delivered + %d pending + %d held + %d failed + %d canceled: %s", c.Expected, c.Delivered, c.Pending, c.Held, c.Failed, c.Canceled, verdict)
	line("receiver", "%d received, %d duplicates, %d failed on purpose, %d strange", c.Received, c.Duplicates, c.Refusals, c.Strange)
	_ = table.Flush()
}

func perThousand(u *Usage) string {
	if u.CPUPerThousand == 0 {
		return ""
	}
	return fmt.Sprintf(", %.2f s per 1,000 deliveries", u.CPUPerThousand)
}
