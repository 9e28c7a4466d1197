package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options say what is measured and how. The command line has their defaults.
type Options struct {
	URL      string // of the Posthorn under test; http
	AdminKey string
	// Scenarios are run in this order; none = all.
	Scenarios []string
	// Duration is how long the measured load lasts. WarmUp is the length of the unmeasured load before it.
	Duration, WarmUp time.Duration
	// Patience limits the wait, after the load, until everything is delivered and recorded.
	Patience time.Duration
	Callers  int     // that publish one event after the other, when the load is a closed loop
	Rate     float64 // events per second of the scenario latency
	Payload  int     // bytes of each event's data
	Tenants  int     // that share the events, each with its own webhooks
	Idle     int     // additional webhooks in each tenant, for other events
	Tags     int     // on each event
	Channels int     // on each event; its webhooks have all of them
	Backlog  int     // deliveries that wait on the slow webhook of the scenario noisy
	// Slow is how long the slow webhook takes for each delivery.
	Slow   time.Duration
	Stored int // events stored in each tenant beforehand, and held for a paused webhook
	// Keep keeps the tenants and their data.
	Keep bool
	// FailShare is the part of the deliveries whose first attempt the receiver fails, in the scenario failing.
	FailShare float64
	// Receiver is the loopback address to receive at; port 0 takes a free one.
	Receiver string
	// Processes are measured on the side.
	Processes []Process
	// DatabaseURL names the PostgreSQL cluster whose statistics are read; "" = none.
	DatabaseURL string
	// MetricsURLs are scraped for Posthorn's use of its engine. They belong to every process that starts workflows or
	// is a worker; none = the report does not show it.
	MetricsURLs []string
	// Mass says how large the scenario mass is.
	Mass MassOptions
	// Progress shows a line that changes, on a terminal; nil = none.
	Progress io.Writer
}

// maxDuration is the longest load for which the ledger's microseconds suffice, with the phases around the load.
const maxDuration = 30 * time.Minute

func (o Options) validate() error {
	var problems []error
	check := func(ok bool, what string) {
		if !ok {
			problems = append(problems, errors.New(what))
		}
	}
	check(o.Duration > 0 && o.Duration <= maxDuration, "the duration must be positive and at most 30m")
	check(o.WarmUp >= 0 && o.WarmUp <= maxDuration, "the warm-up must be at most 30m")
	check(o.Patience > 0 && o.Patience <= maxDuration, "the patience must be positive and at most 30m")
	check(o.Callers > 0 && o.Callers <= 4096, "there must be 1 to 4096 callers")
	check(o.Rate > 0 && o.Rate <= 10_000, "the rate must be positive and at most 10000/s")
	check(o.Payload >= 0 && o.Payload <= 256<<10, "the payload must be at most 262144 bytes")
	check(o.Tenants > 0 && o.Tenants <= 1000, "there must be 1 to 1000 tenants")
	check(o.Idle >= 0 && o.Idle <= 100_000, "there must be at most 100000 idle webhooks")
	check(o.Tags >= 0 && o.Tags <= 5, "there must be at most 5 tags")
	check(o.Channels >= 0 && o.Channels <= 5, "there must be at most 5 channels")
	check(o.Backlog > 0 && o.Backlog <= maxEvents/2, fmt.Sprintf("the backlog must be 1 to %d deliveries", maxEvents/2))
	check(o.Slow > 0 && o.Slow <= time.Minute, "the slow webhook must take some time, and at most 1m")
	check(o.Stored >= 0 && o.Stored <= maxEvents/2 && o.Stored%batchSize == 0, fmt.Sprintf("the events stored beforehand must be thousands, and at most %d", maxEvents/2))
	check(o.FailShare >= 0 && o.FailShare <= 1, "the share that fails must be 0 to 1")
	for _, name := range o.Scenarios {
		_, ok := scenarios[name]
		ok = ok || name == MassName
		check(ok, fmt.Sprintf("there is no scenario %q", name))
	}
	return errors.Join(problems...)
}

// NewReport returns a report of this machine without results.
func NewReport(o Options) Report {
	return Report{At: time.Now().UTC(), Machine: machine(procDir), Options: o.told()}
}

// Run runs the scenarios. The report has the results, up to the error if there is one.
func Run(ctx context.Context, o Options) (Report, error) {
	if len(o.Scenarios) == 0 {
		o.Scenarios = Scenarios()
	}
	report := NewReport(o)
	if err := o.validate(); err != nil {
		return report, err
	}
	t, err := newTarget(o.URL, o.AdminKey)
	if err != nil {
		return report, err
	}
	var conn *pgx.Conn
	if o.DatabaseURL != "" {
		if conn, err = pgx.Connect(ctx, o.DatabaseURL); err != nil {
			return report, fmt.Errorf("database: %w", err)
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		if report.Postgres, err = postgresSettings(ctx, conn); err != nil {
			return report, err
		}
	}
	for _, name := range o.Scenarios {
		if name == MassName {
			if report.Mass, err = Mass(ctx, o, o.Mass, running{o}); err != nil {
				return report, err
			}
			continue
		}
		r := &run{o: o, name: name, scenario: scenarios[name], target: t, db: conn}
		result, err := r.run(ctx)
		if err != nil {
			return report, fmt.Errorf("%s: %w", name, err)
		}
		report.Results = append(report.Results, *result)
	}
	return report, nil
}

// MassName is the scenario of mass.go. It takes an hour, so it runs only on request.
const MassName = "mass"

// Scenarios returns the names of all other scenarios, in the order in which they run.
func Scenarios() []string {
	return slices.SortedFunc(maps.Keys(scenarios), func(a, b string) int { return scenarios[a].order - scenarios[b].order })
}

// procDir is the directory in which Linux describes processes.
const procDir = "/proc"

func sorted[V any](m map[float64]V) []float64 { return slices.Sorted(maps.Keys(m)) }
