package main

import (
	"context"
	"strconv"
	"time"

	"github.com/posthorn/posthorn/internal/bench"
)

// load is one run of posthorn bench: a scenario, and its differences from the scenario's own run.
type load struct {
	name     string
	scenario string
	length   time.Duration
	flags    []string
	// prepare changes the arrangement before the load, and undo changes it back; nil = there is nothing to change.
	prepare, undo func(*stack, context.Context) error
}

// lengths are how long each scenario's load lasts: long enough for its results.
var lengths = map[string]time.Duration{
	"latency": time.Minute, "saturate": 20 * time.Second, "fanout": 10 * time.Second, "noisy": time.Minute,
	"batch": 10 * time.Second, "failing": 15 * time.Second, "overload": 10 * time.Second, "limits": 20 * time.Second,
}

// plain returns the scenarios unchanged.
func plain(scenarios ...string) (loads []load) {
	for _, name := range scenarios {
		loads = append(loads, load{name: name, scenario: name, length: lengths[name]})
	}
	return loads
}

// growth returns the loads that show how the cost grows with the data: tenants that share the load, webhooks in the
// tenant, stored events, waiting deliveries. Nothing is cleaned up, so that later loads find the data of earlier ones.
func growth() (loads []load) {
	add := func(name, scenario string, length time.Duration, flags ...string) {
		loads = append(loads, load{name: name, scenario: scenario, length: length, flags: flags})
	}
	const short, steady = 10 * time.Second, 20 * time.Second
	for _, n := range []int{1, 100, 1000} {
		add("tenants "+strconv.Itoa(n), "saturate", short, "--tenants", strconv.Itoa(n))
	}
	for _, n := range []int{10, 100, 1000, 10_000} {
		add("webhooks "+strconv.Itoa(n), "saturate", short, "--idle", strconv.Itoa(n-1))
	}
	for _, n := range []int{100_000, 1_000_000} {
		for _, scenario := range []string{"latency", "saturate"} {
			length := short
			if scenario == "latency" {
				length = steady
			}
			add("stored "+strconv.Itoa(n/1000)+"k, "+scenario, scenario, length, "--stored", strconv.Itoa(n))
		}
	}
	add("backlog 100k", "noisy", steady, "--backlog", "100000", "--slow", "10s", "--patience", "10m")
	return loads
}

// price returns the loads that show the cost of features: the same load with and without each. The first load runs
// again at the end. The difference between these two shows how much any difference means.
func price() (loads []load) {
	add := func(name string, flags ...string) {
		loads = append(loads, load{name: name, scenario: "saturate", length: lengths["saturate"], flags: flags})
	}
	add("plain")
	add("1 tag", "--tags", "1")
	add("5 tags", "--tags", "5")
	add("1 channel", "--channels", "1")
	add("5 channels", "--channels", "5")
	add("5 tags, 5 channels", "--tags", "5", "--channels", "5")
	add("no statistics")
	last := &loads[len(loads)-1]
	last.prepare, last.undo = (*stack).withoutStatistics, (*stack).withStatistics
	add("plain again")
	return loads
}

// all returns the scenarios of posthorn bench.
func all() []load { return plain(bench.Scenarios()...) }

// everyday returns the loads that compare a workflow for each event with none: quiet hours, busy ones, and a small
// crowd. latency is at 20 events a second, and saturate has 64 callers.
func everyday() []load {
	return []load{
		{name: "latency 5/s", scenario: "latency", length: lengths["latency"], flags: []string{"--rate", "5"}},
		{name: "latency 80/s", scenario: "latency", length: lengths["latency"], flags: []string{"--rate", "80"}},
		{name: "saturate 16 callers", scenario: "saturate", length: lengths["saturate"], flags: []string{"--callers", "16"}},
	}
}
