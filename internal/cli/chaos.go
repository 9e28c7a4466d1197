package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/posthorn/posthorn/internal/chaos"
)

// ChaosCommand is `posthorn chaos`, the fault ledger. `make chaos` builds the binaries that it needs and runs it.
type ChaosCommand struct {
	Seed     uint64        `placeholder:"N" help:"Determines the faults. Default: a random one, or that of the resumed run."`
	Faults   int           `placeholder:"N" help:"Number of faults. Default: as many as begin within --duration."`
	Duration time.Duration `default:"0" help:"No fault begins after this time. Default: 20m, or no limit with --faults."`
	Kinds    []string      `name:"kinds" placeholder:"WORD,…" help:"Only kinds of faults whose names contain one of these words."`
	Rate     float64       `default:"20" help:"Publish calls a second. Default ${default}."`

	Workflows string `default:"" enum:",event,retries" help:"POSTHORN_WORKFLOWS of the processes, event or retries; the APIs are then posthorn serve. Default: event, with APIs that have no worker."`

	AsyncTemporal bool `name:"async-temporal" help:"Set synchronous_commit off for Temporal's databases. A kill of PostgreSQL then loses Temporal's last commits."`

	RecoverWithin time.Duration `name:"recover-within" default:"10s" help:"Longest recovery allowed after a kill of one API or worker; 0 = it is only measured. Default ${default}."`

	Bin         string `name:"bin" default:"bin" type:"existingdir" help:"Directory of posthorn-lean and temporal. Clock steps need a posthorn-lean built with -tags faults. Default ${default}."`
	PostgresBin string `name:"postgres-bin" type:"existingdir" help:"Directory of initdb and postgres. Default: the newest in the usual places."`

	State  string `name:"state" default:"chaos.jsonl" help:"File that gets a line for each fault. Default ${default}."`
	Resume bool   `name:"resume" help:"Continue the run in the state file, up to --faults in all."`
	Out    string `name:"out" placeholder:"FILE" help:"Write the report into this page, below its marker. Default: print it."`
}

const defaultChaos = 20 * time.Minute

// Run makes the faults and writes the report. If ctx ends, the report covers the faults made until then.
func (c *ChaosCommand) Run(ctx context.Context, env Environment) error {
	if c.Duration == 0 && c.Faults == 0 {
		c.Duration = defaultChaos
	}
	lines, err := chaos.Run(ctx, chaos.Options{Seed: c.Seed, Faults: c.Faults, Duration: c.Duration, Kinds: c.Kinds, Rate: c.Rate,
		RecoverWithin: c.RecoverWithin, Workflows: c.Workflows, AsyncTemporal: c.AsyncTemporal,
		Bin: c.Bin, PostgresBin: c.PostgresBin, State: c.State, Resume: c.Resume, Progress: os.Stderr})
	if len(lines) == 0 {
		return err
	}
	if errors.Is(err, chaos.ErrBroken) {
		err = fmt.Errorf("seed %d: %w; %s has the histories", lines[0].Seed, err, c.State)
	}
	return errors.Join(err, chaos.WriteReport(c.Out, env.Out, lines, c.RecoverWithin, chaos.FindVersions(c.Bin, c.PostgresBin)))
}
