package main

import (
	"context"
	"slices"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/posthorn/posthorn/internal/bench"
)

// stage is an arrangement for one part of mass after the other, each with its own databases.
type stage struct {
	*settings

	mode mode
	st   *stack
	env  []string
	api  string // its address, for the part's whole length
}

var _ bench.VolumeStage = (*stage)(nil)

// Begin starts PostgreSQL's databases, Temporal and `posthorn api`.
func (g *stage) Begin(ctx context.Context, settings ...string) (err error) {
	if g.st, err = g.newStack(g.mode.name); err != nil {
		return err
	}
	if g.env, err = g.st.posthorn(ctx); err != nil {
		return err
	}
	g.env = append(g.env, settings...)
	if g.api, err = freeAddress(ctx); err != nil {
		return err
	}
	return g.st.roleAt(ctx, "api", "api", g.api, g.env)
}

// Work starts the processes that send.
func (g *stage) Work(ctx context.Context) error { return g.mode.mass(g, ctx) }

// serve replaces the API with `posthorn serve`.
func (g *stage) serve(ctx context.Context) error {
	g.st.remove("api")
	return g.st.roleAt(ctx, "posthorn", "serve", g.api, g.env)
}

// worker starts `posthorn worker` beside the API.
func (g *stage) worker(ctx context.Context) error { return g.st.role(ctx, "worker 1", "worker", g.env) }

// End kills everything, as its data are no longer needed.
func (g *stage) End(ctx context.Context) {
	if g.st == nil {
		return
	}
	for _, p := range slices.Backward(g.st.running) {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	if conn, err := pgx.Connect(ctx, g.postgres); err == nil {
		for _, name := range g.st.databases {
			_, _ = conn.Exec(ctx, `DROP DATABASE IF EXISTS `+pgx.Identifier{name}.Sanitize()+` WITH (FORCE)`)
		}
		_ = conn.Close(ctx)
	}
	g.st.clean()
	g.st = nil
}

// URL returns the API's URL.
func (g *stage) URL() string { return g.st.url }

// Processes returns the running processes, including PostgreSQL and Temporal.
func (g *stage) Processes() []bench.Process { return g.st.processes }

// Metrics returns the metrics addresses of all of Posthorn's processes.
func (g *stage) Metrics() []string { return g.st.metrics }

// remove ends a program and forgets it.
func (st *stack) remove(name string) {
	st.running = slices.DeleteFunc(st.running, func(p *program) bool {
		if p.name != name {
			return false
		}
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.done
		return true
	})
	st.processes = slices.DeleteFunc(st.processes, func(p bench.Process) bool { return p.Name == name })
	st.metrics = nil
}
