package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/bench"
	"github.com/posthorn/posthorn/internal/config"
)

// BenchCommand is `posthorn bench`. It measures a running Posthorn, of this version or another.
type BenchCommand struct {
	Scenarios []string `arg:"" optional:"" name:"scenario" help:"What to measure: latency, saturate, fanout, noisy, batch, failing, overload, limits; mass. Default: all except mass, in this order."`

	URL      string        `default:"http://127.0.0.1:8080" help:"The Posthorn to measure. It must be allowed to deliver to loopback addresses over http: posthorn dev is; others need POSTHORN_ALLOW_HTTP=true and POSTHORN_ALLOW_NETWORKS=127.0.0.0/8. Default ${default}." group:"Target"`
	AdminKey config.Secret `name:"admin-key" env:"POSTHORN_ADMIN_KEY" required:"" help:"Its admin key. Each scenario creates tenants, event types and webhooks, and deletes them at its end." group:"Target"`
	Receiver string        `default:"127.0.0.1:0" help:"Loopback address to receive at; port 0 takes a free one. Default ${default}." group:"Target"`

	Duration  time.Duration `default:"30s" help:"How long each scenario's load lasts. Default ${default}." group:"Load"`
	WarmUp    time.Duration `name:"warm-up" default:"2s" help:"How long the same load lasts before it is measured. Default ${default}." group:"Load"`
	Patience  time.Duration `default:"60s" help:"How long to wait after the load until everything is delivered and recorded. Default ${default}." group:"Load"`
	Callers   int           `default:"64" help:"Callers that each publish one request after another, in saturate, fanout, failing, overload and limits. Default ${default}." group:"Load"`
	Rate      float64       `default:"20" help:"Events per second in latency. Default ${default}." group:"Load"`
	Payload   int           `default:"1024" help:"Bytes of each event's data. Default ${default}." group:"Load"`
	Tenants   int           `default:"1" help:"Tenants to spread the events among. Default ${default}." group:"Load"`
	Idle      int           `default:"0" help:"Additional webhooks in each tenant, registered for other events. Default ${default}." group:"Load"`
	Tags      int           `default:"0" help:"Tags on each event, 5 at most. Default ${default}." group:"Load"`
	Channels  int           `default:"0" help:"Channels on each event, 5 at most; its webhooks have them too. Default ${default}." group:"Load"`
	Backlog   int           `default:"3000" help:"Backlog of the slow webhook in noisy. Default ${default}." group:"Load"`
	Slow      time.Duration `default:"1s" help:"How long the slow webhook takes to answer each POST. Default ${default}." group:"Load"`
	Stored    int           `default:"0" help:"Events stored in each tenant beforehand, a multiple of 1000; they are held for a paused webhook." group:"Load"`
	Keep      bool          `name:"keep" help:"Keep the tenants and their stored events: for a database that is thrown away." group:"Load"`
	FailShare float64       `name:"fail-share" default:"0.1" help:"Share of first attempts that are answered with 500 in failing. Default ${default}." group:"Load"`

	Parts []string `name:"parts" help:"Parts of mass to run. Default: all: quiet, dead, slow, flapping. The others need a database that is thrown away: see make bench." group:"Mass"`
	Scale float64  `name:"scale" default:"0.1" help:"Size of mass, as a fraction of its full size. Default ${default}." group:"Mass"`

	Process     map[string]int `placeholder:"NAME=PID" help:"Measure a process, with its descendants, under a name; any number of times." group:"Measure"`
	DatabaseURL config.Secret  `name:"database-url" help:"PostgreSQL cluster whose transactions and WAL are counted: postgres://…; default none." group:"Measure"`
	MetricsURL  []string       `name:"metrics-url" help:"Metrics of every process of the target. Default: /metrics at --url." group:"Measure"`
	JSON        bool           `name:"json" help:"Print the report as JSON." group:"Measure"`
}

// errIncomplete is returned when deliveries are missing, which is worse than being slow.
var errIncomplete = errors.New("the count does not match: deliveries are missing, or were recorded as delivered and did not arrive")

// Run measures and prints a report. If ctx ends, the report covers what has been measured until then.
func (c *BenchCommand) Run(ctx context.Context, env Environment) error {
	o := bench.Options{URL: c.URL, AdminKey: c.AdminKey.Reveal(), Scenarios: c.Scenarios, Receiver: c.Receiver,
		Duration: c.Duration, WarmUp: c.WarmUp, Patience: c.Patience, Callers: c.Callers, Rate: c.Rate, Payload: c.Payload,
		Tenants: c.Tenants, Idle: c.Idle, Tags: c.Tags, Channels: c.Channels, Backlog: c.Backlog, Slow: c.Slow, Stored: c.Stored, Keep: c.Keep, FailShare: c.FailShare,
		Mass:        bench.DefaultMass().Scaled(c.Scale),
		DatabaseURL: c.DatabaseURL.Reveal(), MetricsURLs: c.MetricsURL, Progress: terminal(os.Stderr)}
	if o.Mass.Parts = c.Parts; len(o.Mass.Parts) == 0 {
		o.Mass.Parts = []string{"quiet", "dead", "slow", "flapping"}
	}
	if len(o.MetricsURLs) == 0 {
		o.MetricsURLs = []string{strings.TrimRight(c.URL, "/") + "/metrics"}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Process)) {
		o.Processes = append(o.Processes, bench.Process{Name: name, PID: c.Process[name]})
	}
	report, err := bench.Run(ctx, o)
	if len(report.Results)+len(report.Mass) > 0 {
		err = errors.Join(err, c.print(env.Out, &report))
	}
	if err == nil && !report.Complete() {
		err = errIncomplete
	}
	return err
}

func (c *BenchCommand) print(out io.Writer, report *bench.Report) error {
	if !c.JSON {
		return report.Text(out)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}

// terminal returns the file if it is a terminal, and nil if it is redirected.
func terminal(f *os.File) io.Writer {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return f
}
