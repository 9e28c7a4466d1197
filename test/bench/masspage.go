package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/posthorn/posthorn/internal/bench"
)

// bare writes what a workflow costs by itself.
func (p *page) bare(w io.Writer) {
	p.figures(w, func(r *bench.Report) []bench.Figure { return r.Bare }, `
## A workflow by itself

The scenario `+"`bare`"+`: workflows that do nothing, 20 a second, started eagerly by a process with a worker, as Posthorn starts its own.
There is no Posthorn. This is what a workflow takes on this machine, with what idle processes take. At this rate, Posthorn starts
those of received events five at once.
`)
}

// mass writes the results of the arrangements when everything fails, side by side.
func (p *page) mass(w io.Writer) {
	p.figures(w, func(r *bench.Report) []bench.Figure { return r.Mass }, `
## When everything fails

The scenario `+"`mass`"+`. Each part has its own databases. The process that accepts events runs first and stores a backlog. Then
the workers start. The neighbour is another tenant. It publishes 5 events a second to a healthy webhook from the moment the
workers are ready. Its times are end to end, and an event that did not arrive counts as the slowest. The part "quiet" measures
the neighbour alone.
`)
}

// console writes how fast the pages of console and portal are, and how much open pages cost.
func (p *page) console(w io.Writer) {
	p.figures(w, func(r *bench.Report) []bench.Figure { return r.Console }, `
## The console

The scenario `+"`console`"+`: one tenant's webhooks and stored deliveries, and statistics of four weeks. Each page is read as a
whole, one after another, as staff. Times are p50 / p99. Then 500 pages are open, in 25 sessions, while the tenant publishes 5
events a second. A page reloads itself when its stream reports a change, as in a browser. The cost includes that.
`)
}

// volume writes the cost of a large database.
func (p *page) volume(w io.Writer) {
	p.figures(w, func(r *bench.Report) []bench.Figure { return r.Volume }, `
## Ten million deliveries

The scenario `+"`volume`"+`, which runs only when it is asked for. One tenant has deliveries of the last day, each with its event and an
attempt. The same load is measured before and after they are stored. Then the retention removes the oldest of them, by the
steps of its hourly run.
`)
}

// figures writes a section with the figures of the arrangements that have some, side by side.
func (p *page) figures(w io.Writer, of func(*bench.Report) []bench.Figure, introduction string) {
	columns := slices.DeleteFunc(slices.Clone(p.columns), func(c column) bool { return len(of(c.report)) == 0 })
	if len(columns) == 0 {
		return
	}
	fmt.Fprint(w, introduction+"\n| part |  | must reach |")
	for _, c := range columns {
		fmt.Fprintf(w, " %s |", c.name)
	}
	fmt.Fprint(w, "\n|---|---|---|"+strings.Repeat("---|", len(columns))+"\n")
	part := ""
	for _, f := range figuresOf(columns, of) {
		name := ""
		if f.Part != part {
			name, part = "**"+f.Part+"**", f.Part
		}
		fmt.Fprintf(w, "| %s | %s | %s |", name, f.What, f.Must)
		for _, c := range columns {
			fmt.Fprintf(w, " %s |", found(of(c.report), f))
		}
		fmt.Fprintln(w)
	}
}

// figuresOf returns the lines that any of the columns has, in the order of the parts.
func figuresOf(columns []column, of func(*bench.Report) []bench.Figure) (all []bench.Figure) {
	for _, c := range columns {
		for _, f := range of(c.report) {
			if slices.ContainsFunc(all, func(g bench.Figure) bool { return same(f, g) }) {
				continue
			}
			// Beside the others of its part.
			at := len(all)
			for i, g := range all {
				if g.Part == f.Part {
					at = i + 1
				}
			}
			all = slices.Insert(all, at, f)
		}
	}
	return all
}

func same(f, g bench.Figure) bool { return f.Part == g.Part && f.What == g.What }

func found(figures []bench.Figure, f bench.Figure) string {
	if i := slices.IndexFunc(figures, func(g bench.Figure) bool { return same(f, g) }); i >= 0 {
		return figures[i].Got
	}
	return none
}
