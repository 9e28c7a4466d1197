// Package metrics owns the names of Posthorn's Prometheus metrics. docs/operations.md says which to watch.
//
// It must not import any package of Posthorn.
package metrics

import (
	"database/sql"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics holds all metrics of one process.
type Metrics struct {
	Accepted       prometheus.Counter
	Attempts       *prometheus.CounterVec // by outcome
	AttemptSeconds prometheus.Histogram
	LocalFailures  *prometheus.CounterVec // by reason
	Deliveries     *prometheus.CounterVec // finished ones, by status
	PutOff         *prometheus.CounterVec // because of Posthorn's own failures, by reason
	Starts         *prometheus.CounterVec // starts of workflows, by result
	DispatchSize   prometheus.Histogram
	Waiting        prometheus.Gauge
	Catches        prometheus.Counter
	JobRows        *prometheus.CounterVec // by kind of job
	Webhooks       *prometheus.GaugeVec   // by status
	Notified       *prometheus.CounterVec // by result
	Pending        prometheus.Gauge
	Held           prometheus.Gauge
	Batches        prometheus.Gauge
	OldestBatch    prometheus.Gauge
	OldestDue      prometheus.Gauge
	Paused         prometheus.Gauge
	Backlog        *prometheus.GaugeVec     // by webhook
	LoopSeconds    *prometheus.HistogramVec // of the reconciler, by loop
}

// Panics counts recovered panics in the whole process. It is global, so that it is available wherever a panic happens.
var Panics = prometheus.NewCounter(prometheus.CounterOpts{Name: "posthorn_panics_total",
	Help: "Panics that were caught, logged and survived. Each is a fault of Posthorn's."})

// New creates the metrics and registers them.
func New(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "posthorn_" + name, Help: help})
		r.MustRegister(c)
		return c
	}
	// The known label values start at 0: Prometheus would miss the first increase of a series that starts at 1.
	counters := func(name, label, help string, values ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "posthorn_" + name, Help: help}, []string{label})
		for _, value := range values {
			c.WithLabelValues(value)
		}
		r.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "posthorn_" + name, Help: help})
		r.MustRegister(g)
		return g
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "posthorn_" + name, Help: help, Buckets: buckets})
		r.MustRegister(h)
		return h
	}
	m := &Metrics{
		Accepted: counter("events_accepted_total", "Events stored, with their deliveries or what these follow from."),
		Attempts: counters("attempts_total", "outcome", "POSTs by outcome: received, failed, gone (410) or local. local: Posthorn could not make it; no receiver is charged.",
			"received", "failed", "gone", "local"),
		AttemptSeconds: histogram("attempt_duration_seconds", "How long POSTs took.", []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30, 60}),
		LocalFailures: counters("local_failures_total", "reason", "POSTs that Posthorn could not make, by what it lacked: file_descriptors, ports, memory, network, resolver or certificates.",
			"file_descriptors", "ports", "memory", "network", "resolver", "certificates"),
		Deliveries: counters("deliveries_finished_total", "status", "Deliveries that ended: delivered or failed.",
			"delivered", "failed"),
		PutOff: counters("deliveries_put_off_total", "reason", "Deliveries put off without an attempt, for trouble that is not the receiver's: unreadable or no_slot.",
			"unreadable", "no_slot"),
		Starts: counters("workflow_starts_total", "result", "Dispatch workflows started, by result: started, exists or failed.",
			"started", "exists", "failed"),
		DispatchSize: histogram("dispatch_deliveries", "Deliveries a dispatch was started with.", []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}),
		Waiting:      gauge("waiting_deliveries", "Accepted deliveries that wait in this process for a shared dispatch."),
		Catches:      counter("reconciler_catches_total", "Deliveries the reconciler had to dispatch again. In health it does not move."),
		JobRows:      counters("job_rows_total", "kind", "Rows changed by the pages that follow a large act, by kind of job: hold, cancel, keep, erase, count, fanout or purge."),
		Notified: counters("notifications_total", "result", "Notifications to administrators: sent, skipped (nobody was reached) or failed.",
			"sent", "skipped", "failed"),
		Pending:     gauge("backlog_pending_deliveries", "Deliveries that are pending, in the whole installation. Counted at every look of the reconciler, or less often where counting takes long."),
		Held:        gauge("backlog_held_deliveries", "Deliveries that are held, in the whole installation. Counted as the pending are."),
		Batches:     gauge("backlog_batches", "Batches whose deliveries wait in the database, in the whole installation, up to 10,000. Counted as the pending deliveries are."),
		OldestBatch: gauge("oldest_batch_seconds", "How long the oldest of these batches has waited; 0 = there is none."),
		OldestDue:   gauge("oldest_undispatched_seconds", "How long the longest overdue pending delivery has been due; 0 = none is overdue."),
		Paused:      gauge("paused_in_temporal", "Overdue deliveries whose workflow, or an activity of it, somebody has paused in Temporal."),
	}
	m.Backlog = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "posthorn_webhook_backlog_deliveries",
		Help: "Pending deliveries of the webhooks with the longest queues."}, []string{"webhook"})
	m.Webhooks = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "posthorn_webhooks", Help: "Webhooks, by status."}, []string{"status"})
	m.LoopSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "posthorn_reconciler_loop_seconds",
		Help: "How long the reconciler's loops took for one look each.", Buckets: []float64{.01, .1, .5, 1, 5, 10, 30, 60, 300}}, []string{"loop"})
	r.MustRegister(m.Backlog, m.Webhooks, m.LoopSeconds, Panics)
	return m
}

// Posts has the numbers of POSTs that may be in flight, that are, and that wait for a slot.
type Posts struct{ Max, InFlight, Waiting int }

// WatchPosts registers gauges of this process's POSTs, read at each scrape.
func WatchPosts(r prometheus.Registerer, read func() Posts) {
	gauge := func(name, help string, value func(Posts) int) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "posthorn_" + name, Help: help},
			func() float64 { return float64(value(read())) }))
	}
	gauge("posts_max", "POSTs that this process makes at a time at most.", func(p Posts) int { return p.Max })
	gauge("posts_in_flight", "POSTs in flight in this process.", func(p Posts) int { return p.InFlight })
	gauge("posts_waiting", "POSTs that wait for a slot in this process.", func(p Posts) int { return p.Waiting })
}

// WatchBreaker registers a gauge that is 1 while the circuit breaker of this process is open.
func WatchBreaker(r prometheus.Registerer, open func() bool) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "posthorn_egress_breaker_open",
		Help: "1 while nearly all hosts fail at once in this process, so that failures are charged to nobody."}, func() float64 {
		if open() {
			return 1
		}
		return 0
	}))
}

// WatchPools registers metrics of this process's database connection pools, by pool, read at each scrape.
func WatchPools(r prometheus.Registerer, read func() map[string]sql.DBStats) {
	r.MustRegister(pools{read: read})
}

type pools struct{ read func() map[string]sql.DBStats }

func ofPool(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("posthorn_db_"+name, help, []string{"pool"}, nil)
}

var (
	poolMax     = ofPool("connections_max", "Database connections that this process may have at most, by pool: main, or reads for what the APIs only read.")
	poolInUse   = ofPool("connections_in_use", "Database connections in use in this process, by pool.")
	poolWaits   = ofPool("connection_waits_total", "How often this process had no free database connection at once, by pool.")
	poolWaitSec = ofPool("connection_wait_seconds_total", "How long this process waited for free database connections, all waits together, by pool.")
)

// Describe implements prometheus.Collector.
func (pools) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolMax, poolInUse, poolWaits, poolWaitSec} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (p pools) Collect(out chan<- prometheus.Metric) {
	for name, s := range p.read() {
		out <- prometheus.MustNewConstMetric(poolMax, prometheus.GaugeValue, float64(s.MaxOpenConnections), name)
		out <- prometheus.MustNewConstMetric(poolInUse, prometheus.GaugeValue, float64(s.InUse), name)
		out <- prometheus.MustNewConstMetric(poolWaits, prometheus.CounterValue, float64(s.WaitCount), name)
		out <- prometheus.MustNewConstMetric(poolWaitSec, prometheus.CounterValue, s.WaitDuration.Seconds(), name)
	}
}
