// Command bench runs the benchmarks of docs/benchmarks.md and writes that page:
//
//	go run ./test/pgtest/cmd/pgtest -- go run ./test/bench -out docs/benchmarks.md
//
// It starts all parts of a Posthorn, in the arrangements worth comparing, and writes the page. The measurements are
// those of internal/bench, which it runs as a separate process: `posthorn bench --json`. `make bench` builds the
// programs. PostgreSQL is the one of test/pgtest, with its durability on.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/posthorn/posthorn/internal/bench"
	"github.com/posthorn/posthorn/test/pgtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

// settings are the command's flags.
type settings struct {
	bin, out         string
	modes, scenarios []string
	scale            float64
	postgres         string // URL of the cluster
	keep             bool
	mass             bench.MassOptions
	extra            []string // further flags of posthorn bench
}

func run(ctx context.Context, args []string) error {
	s := settings{postgres: os.Getenv(pgtest.EnvURL), mass: bench.DefaultMass()}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&s.bin, "bin", "bin", "`directory` of posthorn, posthorn-lean and temporal")
	flags.StringVar(&s.out, "out", "-", "write the page to this `file`; - is standard output")
	flags.Float64Var(&s.scale, "scale", 1, "run each load this many times as long, and mass this many times as large")
	flags.BoolVar(&s.keep, "keep", false, "keep the processes' logs and say where they are")
	list := func(to *[]string) func(string) error {
		return func(text string) error {
			*to = strings.Split(text, ",")
			return nil
		}
	}
	flags.Func("parts", "`list` of the parts of mass to run: "+strings.Join(bench.MassParts(), ", ")+" (default: all)", list(&s.mass.Parts))
	flags.Func("backlogs", "`list` of the deliveries that wait in mass for a dead webhook, one run for each", s.backlogs)
	flags.IntVar(&s.mass.Stored, "stored", s.mass.Stored, "deliveries stored in mass before an act on all of them, and in console; volume stores ten times as many")
	flags.IntVar(&s.mass.Webhooks, "webhooks", s.mass.Webhooks, "webhooks of the wide tenant in mass, console and volume")
	flags.DurationVar(&s.mass.Load, "load", s.mass.Load, "how long the neighbour publishes in each part of mass")
	flags.DurationVar(&s.mass.Watch, "watch", s.mass.Watch, "the longest wait in mass")
	flags.Func("modes", "`list` of arrangements to measure (default: all)", list(&s.modes))
	flags.Func("scenarios", "`list` of scenarios to run (default: what each arrangement is measured with, but not volume)", list(&s.scenarios))
	if err := flags.Parse(args); err != nil {
		return err
	}
	s.extra = flags.Args()
	s.mass = s.mass.Scaled(s.scale)
	var p page
	for _, m := range modes {
		if s.modes != nil && !slices.Contains(s.modes, m.name) || !s.wants(m) {
			continue
		}
		report, err := s.measure(ctx, m)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		p.add(m, report)
	}
	if len(p.columns) == 0 {
		return errors.New("no such mode, or it is not measured with such a scenario")
	}
	var text bytes.Buffer
	p.write(&text)
	if s.out == "-" {
		_, err := os.Stdout.Write(text.Bytes())
		return err
	}
	return os.WriteFile(s.out, text.Bytes(), 0o644) //nolint:gosec // A page to be read by everybody.
}

// payload is the size of an event's data in mass, in bytes, as in the other scenarios.
const payload = 1024

func (s *settings) wanted(scenario string) bool {
	return s.scenarios == nil || slices.Contains(s.scenarios, scenario)
}

// named reports whether a scenario was asked for by its name.
func (s *settings) named(scenario string) bool { return slices.Contains(s.scenarios, scenario) }

// wants reports whether anything is to be measured with the arrangement.
func (s *settings) wants(m mode) bool {
	return m.start == nil && s.wanted(bareName) || m.mass != nil && s.wanted(bench.MassName) || m.pages && (s.wanted(bench.ConsoleName) || s.named(bench.VolumeName)) || slices.ContainsFunc(m.loads, func(l load) bool { return s.wanted(l.scenario) })
}

// backlogs reads a list of numbers.
func (s *settings) backlogs(text string) error {
	s.mass.Backlogs = nil
	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n <= 0 {
			return fmt.Errorf("%q is no number of deliveries", field)
		}
		s.mass.Backlogs = append(s.mass.Backlogs, n)
	}
	return nil
}

// measure runs an arrangement's scenarios. Those that start their processes themselves come last.
func (s *settings) measure(ctx context.Context, m mode) (*bench.Report, error) {
	report := bench.NewReport(bench.Options{Payload: payload})
	if slices.ContainsFunc(m.loads, func(l load) bool { return s.wanted(l.scenario) }) {
		loaded, err := s.loads(ctx, m)
		if err != nil {
			return nil, err
		}
		report = *loaded
	}
	o := bench.Options{AdminKey: adminKey, Receiver: "127.0.0.1:0", Payload: payload}
	shown := bench.Report{At: report.At, Machine: report.Machine}
	var err error
	if m.start == nil && s.wanted(bareName) {
		fmt.Fprintf(os.Stderr, "%s: %s\n", m.name, bareName)
		report.Bare, err = s.bare(ctx)
	}
	if err == nil && m.mass != nil && s.wanted(bench.MassName) {
		fmt.Fprintf(os.Stderr, "%s: %s\n", m.name, bench.MassName)
		report.Mass, err = bench.Mass(ctx, o, s.mass, &stage{settings: s, mode: m})
	}
	if err == nil && m.pages && s.wanted(bench.ConsoleName) {
		fmt.Fprintf(os.Stderr, "%s: %s\n", m.name, bench.ConsoleName)
		report.Console, err = bench.Console(ctx, o, s.mass, &stage{settings: s, mode: m})
	}
	if err == nil && m.pages && s.named(bench.VolumeName) {
		fmt.Fprintf(os.Stderr, "%s: %s\n", m.name, bench.VolumeName)
		report.Volume, err = bench.Volume(ctx, o, s.mass, &stage{settings: s, mode: m})
	}
	shown.Bare, shown.Mass, shown.Console, shown.Volume = report.Bare, report.Mass, report.Console, report.Volume
	if len(shown.Figures()) > 0 {
		fmt.Fprintln(os.Stderr, indent(&shown))
	}
	return &report, err
}

// loads starts an arrangement and runs its loads, one after the other.
func (s *settings) loads(ctx context.Context, m mode) (*bench.Report, error) {
	st, err := s.newStack(m.name)
	if err != nil {
		return nil, err
	}
	defer st.clean()
	defer st.stop()
	if err := m.start(st, ctx); err != nil {
		return nil, errors.Join(err, st.logs())
	}
	var whole *bench.Report
	for _, l := range m.loads {
		if !s.wanted(l.scenario) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", m.name, l.name)
		report, err := s.prepared(ctx, st, l)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", l.name, err), st.logs())
		}
		if whole == nil {
			whole = report
		} else {
			whole.Results = append(whole.Results, report.Results...)
		}
	}
	return whole, nil
}

// prepared runs a load in the arrangement after the load's preparation.
func (s *settings) prepared(ctx context.Context, st *stack, l load) (*bench.Report, error) {
	if l.prepare != nil {
		if err := l.prepare(st, ctx); err != nil {
			return nil, err
		}
	}
	report, err := s.load(ctx, st, l)
	if l.undo != nil {
		err = errors.Join(err, l.undo(st, ctx))
	}
	return report, err
}

// load runs posthorn bench.
func (s *settings) load(ctx context.Context, st *stack, l load) (*bench.Report, error) {
	args := append([]string{"bench", l.scenario, "--json", "--keep", "--url", st.url, "--admin-key", adminKey,
		"--duration", (time.Duration(s.scale * float64(l.length))).String()}, l.flags...)
	for _, p := range st.processes {
		args = append(args, "--process", p.Name+"="+strconv.Itoa(p.PID))
	}
	for _, url := range st.metrics {
		args = append(args, "--metrics-url", url)
	}
	if st.database != "" {
		args = append(args, "--database-url", st.database)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "posthorn-lean"), append(args, s.extra...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // as Ctrl-C would end it
	cmd.WaitDelay = time.Minute
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	var report bench.Report
	if err := json.Unmarshal(out, &report); err != nil {
		return nil, fmt.Errorf("interrupted, or no report: %w", err)
	}
	for i := range report.Results {
		report.Results[i].Scenario = l.name
	}
	fmt.Fprintln(os.Stderr, indent(&report))
	return &report, nil
}

func indent(r *bench.Report) string {
	var b strings.Builder
	_ = r.Text(&b)
	return strings.ReplaceAll(b.String(), "\n", "\n    ")
}
