package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"github.com/posthorn/posthorn/internal/bench"
)

// bareName is the scenario of workflows that do nothing: what Temporal and PostgreSQL take for a workflow on this machine, whatever
// Posthorn does.
const bareName = "bare"

const (
	bareRate = 20               // workflows a second, as latency has events
	bareFor  = 40 * time.Second // of each part
	// bareSettle is how long the last workflows and their rows in the lists may take.
	bareSettle = 3 * time.Second
)

// bareTogether are the workflows that start at once. Of events that were received, Posthorn starts those of a quarter of a second
// together: five at this rate.
var bareTogether = []int{1, 5, 20}

// bare starts workflows eagerly, as Posthorn does, in a process that has a worker: this one.
func (s *settings) bare(ctx context.Context) (figures []bench.Figure, err error) {
	st, err := s.newStack(bareName)
	if err != nil {
		return nil, err
	}
	defer st.clean()
	defer st.stop()
	_, database, err := st.cluster(ctx)
	if err != nil {
		return nil, err
	}
	address, err := st.engine(ctx, database)
	if err != nil {
		return nil, errors.Join(err, st.logs())
	}
	c, err := client.DialContext(ctx, client.Options{HostPort: address, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	w := worker.New(c, bareName, worker.Options{})
	w.RegisterWorkflowWithOptions(func(workflow.Context) error { return nil }, workflow.RegisterOptions{Name: bareName})
	if err := w.Start(); err != nil {
		return nil, err
	}
	defer w.Stop()
	start := func() error {
		_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: bareName, EnableEagerStart: true}, bareName)
		return err
	}
	length := time.Duration(s.scale * float64(bareFor))
	if _, err := startTogether(ctx, start, bareTogether[len(bareTogether)-1], bareSettle); err != nil { // warm up
		return nil, err
	}
	for _, together := range bareTogether {
		started := 0
		usage, err := bench.Measure(st.processes, func() (err error) {
			started, err = startTogether(ctx, start, together, length)
			return err
		})
		if err != nil {
			return nil, err
		}
		figures = append(figures, bareFigures(together, started, usage)...)
	}
	return figures, nil
}

// startTogether calls start bareRate times a second, that many together, and returns how often. It returns when what was started
// has had time to end.
func startTogether(ctx context.Context, start func() error, together int, length time.Duration) (started int, err error) {
	tick := time.NewTicker(time.Duration(together) * time.Second / bareRate)
	defer tick.Stop()
	end := time.After(length)
	var group errgroup.Group
	for {
		select {
		case <-ctx.Done():
			return started, errors.Join(ctx.Err(), group.Wait())
		case <-tick.C:
			for range together {
				group.Go(start)
			}
			started += together
		case <-end:
			err = group.Wait()
			time.Sleep(bareSettle)
			return started, err
		}
	}
}

// bareFigures are the CPU that a workflow took. There are none without /proc, or if the time was too short for a start.
func bareFigures(together, started int, u *bench.Usage) []bench.Figure {
	if u == nil || started == 0 {
		return nil
	}
	part := strconv.Itoa(together) + " start at once"
	line := func(what string, seconds float64) bench.Figure {
		return bench.Figure{Part: part, What: "CPU for a workflow, " + what, Got: fmt.Sprintf("%.1f ms", 1000*seconds/float64(started))}
	}
	figures := []bench.Figure{line("in all", u.CPUSeconds+u.Load.CPUSeconds)}
	for _, p := range u.Processes {
		figures = append(figures, line(p.Name, p.CPUSeconds))
	}
	return append(figures, line("worker", u.Load.CPUSeconds))
}
