// Package app is the wiring: it turns a configuration into one process, as API, as worker, or as both, and runs it.
//
// It decides nothing about webhooks. Only internal/cli and tests import it.
package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.temporal.io/sdk/client"

	"github.com/posthorn/posthorn/activities"
	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/console"
	"github.com/posthorn/posthorn/internal/backoff"
	"github.com/posthorn/posthorn/internal/config"
	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/egress"
	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/notify"
	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/slots"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/worker"
	"github.com/posthorn/posthorn/workflows"
)

// Options configures a process.
type Options struct {
	Config  config.Config
	Version string
	// Temporal connects to the engine. It may be lazy: events accepted while Temporal is away are delivered later.
	Temporal  client.Client
	Namespace string
	API       bool // serve the API
	Worker    bool // run workflows, activities and the reconciler
	Dev       bool // allow loopback receivers over plain http
	Log       *slog.Logger
	// TemporalAddress is Temporal's expected address, for the log.
	TemporalAddress string
	// Seed, if set, runs once when everything is wired, before the API listens.
	Seed func(ctx context.Context, s *service.Service) error
	// Ready, if set, is called with the API's listening address, once it listens and the worker has started.
	Ready func(addr net.Addr)
	// SignIn, if set, is called before Ready with a path that signs in the admin key once, from this machine.
	SignIn func(path string)
}

// handoffBytes bounds the event data kept for first attempts in this process.
const handoffBytes = 64 << 20

// slotsPerCore is how many dispatches may be starting at once: more would make Temporal slower, not faster.
const slotsPerCore = 24

// App is one wired process.
type App struct {
	Options
	store    *models.Store
	hooks    *service.Service
	engine   *engine.Engine
	sender   *sender.Client
	posts    *slots.Slots
	limits   *delivery.Limits // of webhooks: deliveries and tests share them
	breaker  *egress.Breaker
	mailer   *notify.Mailer
	metrics  *metrics.Metrics
	registry *prometheus.Registry
	desk     *handoff.Desk
	makes    *activities.Deliveries // the attempts of this process; nil if no worker runs
	started  atomic.Bool            // the worker polls
	prepared atomic.Bool            // the namespace has everything it needs
	draining atomic.Bool            // asked to stop
	pages    *console.Console

	installation string      // the id of the database's installation
	claimed      atomic.Bool // the task queues belong to the installation
}

// New wires a process. Close must be called.
func New(ctx context.Context, o Options) (_ *App, err error) {
	a := &App{Options: o, registry: prometheus.NewRegistry()}
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.metrics = metrics.New(a.registry)
	if err := o.Config.CheckVersion(o.Version); err != nil {
		return nil, err
	}
	admins, err := adminKeys(o.Config)
	if err != nil {
		return nil, err
	}
	box, err := secrets.OpenBox(o.Config.EncryptionKeyset.Reveal())
	if err != nil {
		return nil, err
	}
	if a.mailer, err = notify.NewMailer(o.Config.SMTPURL.Reveal(), o.Config.MailFrom); err != nil {
		return nil, err
	}
	if a.store, err = models.Open(ctx, o.Config.DatabaseURL.Reveal(), models.Options{GroupMax: o.Config.GroupMax,
		MaxWebhooks: int64(o.Config.MaxWebhooks), MaxKeys: int64(o.Config.MaxKeys), FirstAttempts: o.attemptsFirst(), Actor: service.AuditActor}); err != nil {
		return nil, err
	}
	if err = a.store.Migrated(ctx); err == nil {
		err = service.CheckKeyset(ctx, a.store, box)
	}
	if err != nil {
		_ = a.store.Close()
		return nil, err
	}
	metrics.WatchPools(a.registry, a.store.Pools)
	a.sender = sender.New(sender.Config{AllowHTTP: o.Config.AllowHTTP, AllowNetworks: o.Config.AllowNetworks,
		AllowLoopbackHTTP: o.Dev, UserAgent: "Posthorn/" + o.Version, MaxIdleConns: o.Config.IdleLimit(), Now: a.store.Clock})
	a.posts, a.breaker = a.newPosts(), a.newBreaker()
	a.limits = delivery.NewLimits(a.store.LeaseHolder, a.store, a.store.Clock)
	a.desk = handoff.NewDesk(handoffBytes, a.store.Clock)
	var shared *handoff.Desk // shared with the engine, if this process has a worker too
	var first engine.First   // first attempts outside of workflows
	if o.attemptsFirst() {
		shared, first = a.desk, (*firstAttempts)(a)
	}
	a.engine = engine.New(engine.Options{Client: o.Temporal, Queues: workflows.NewQueues(o.Config.TaskQueue), Outbox: a.store,
		Desk: shared, Metrics: a.metrics, Log: o.Log, Threshold: int64(o.Config.FailureThreshold), Judge: a.judge, Sendable: a.sendable, Owns: a.store.Owns, LetGo: a.store.LetGo, First: first, Posting: a.store.PostingID, Slots: slotsPerCore * runtime.GOMAXPROCS(0), GroupMax: o.Config.GroupMax,
		Named: a.named, Webhook: a.webhook, Recovered: a.recovered, ConsoleURL: consoleURL(o), UIURL: o.Config.TemporalUIURL, Namespace: o.Namespace, Retention: o.Config.Retention.Std()})
	retry := o.Config.Retry
	a.hooks = service.New(service.Options{Store: a.store, Box: box, Guard: a.sender.Guard(), Poster: a.sender, Posts: a.posts, Limits: a.limits, Engine: a.engine,
		AdminKey: o.Config.AdminKey.Reveal(), AdminKeys: admins, RequestRate: o.Config.RequestRate, Timeout: o.Config.Timeout, Threshold: int64(o.Config.FailureThreshold), Retention: o.Config.Retention.Std(),
		Retry:    backoff.Policy{Initial: retry.Initial, Backoff: retry.Backoff, MaxInterval: retry.MaxInterval, Max: retry.Max},
		GroupMax: o.Config.GroupMax, Retries: o.direct(), PublicURL: publicURL(o), LogoOrigins: o.Config.PortalLogoOrigins, Dev: o.Dev, Metrics: a.metrics, Log: o.Log, Now: a.store.Clock})
	if o.Worker {
		a.makes = &activities.Deliveries{Courier: a.courier(), Processes: a.store}
	}
	return a, nil
}

// judge deactivates a webhook that has reached the threshold, without Temporal. A deleted one needs nothing.
func (a *App) judge(ctx context.Context, webhookID string) error {
	_, err := a.hooks.Judge(ctx, webhookID)
	if refused, ok := errors.AsType[*service.Error](err); ok && refused.Code == service.NotFound {
		return nil
	}
	return err
}

// sendable asks the use cases, which are created after the engine.
func (a *App) sendable(ctx context.Context, tenant, webhookID string) bool {
	return a.hooks.Sendable(ctx, tenant, webhookID)
}

// named asks the use cases, which are created after the engine.
func (a *App) named(tenant, webhookID string) (name, host string) {
	return a.hooks.Named(tenant, webhookID)
}

// webhook reads a webhook's tenant, name and host for the Web UI; all "" if it cannot be read.
func (a *App) webhook(ctx context.Context, id string) (tenant, name, host string) {
	w, err := a.store.WebhookByID(ctx, id)
	if err != nil {
		return "", "", ""
	}
	return w.Tenant, w.Name, sender.Host(w.URL)
}

// recovered reads the webhook of a recovery; "" if it cannot be read.
func (a *App) recovered(ctx context.Context, id string) string {
	r, err := a.store.RecoveryByID(ctx, id)
	if err != nil {
		return ""
	}
	return r.WebhookID
}

// publicURL returns the base URL of this installation; "" = unknown. A `dev` knows where it listens.
func publicURL(o Options) string {
	base := strings.TrimRight(o.Config.PublicURL, "/")
	if base == "" && o.Dev {
		base = "http://" + o.Config.Addr
	}
	return base
}

// consoleURL returns the base URL of links to deliveries; "" = none.
func consoleURL(o Options) string {
	base := publicURL(o)
	if base == "" {
		return ""
	}
	return base + "/console"
}

// Close releases what New opened.
func (a *App) Close() {
	a.engine.Close()
	a.sender.Close()
	a.leave()
	a.hooks.Close()
	_ = a.store.Close()
}

// Run serves until ctx ends, then stops accepting, lets work in flight end, and returns.
func (a *App) Run(ctx context.Context) error {
	if err := a.store.Join(ctx, a.kind()); err != nil {
		return err
	}
	if err := a.hooks.EnsureOperationalTypes(ctx); err != nil {
		return err
	}
	if a.Seed != nil {
		if err := a.Seed(ctx, a.hooks); err != nil {
			return err
		}
	}
	handler, err := a.handler()
	if err != nil {
		return err
	}
	if a.installation, err = a.store.InstallationID(ctx); err != nil {
		return err
	}
	if taken, ok := errors.AsType[*worker.TakenError](a.claimSoon(ctx)); ok {
		return taken
	}
	listener, err := config.Listen(ctx, "--addr (POSTHORN_ADDR)", a.Config.Addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: a.closing(handler), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug)}
	failed := make(chan error, 2)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	a.Log.InfoContext(ctx, "listening", "addr", listener.Addr().String(), "api", a.API, "worker", a.Worker)

	var background sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	background.Go(func() {
		if err := a.prepare(ctx, listener.Addr()); err != nil {
			failed <- err
		}
	})
	var stopWorker func(context.Context)
	if a.Worker {
		stopWorker = a.work(ctx, &background)
	}
	linger := time.Duration(0)
	select {
	case <-ctx.Done():
		if a.API && !a.Dev {
			linger = lingerFor
		}
	case err = <-failed:
		cancel()
	}
	a.drain(server, linger, background.Wait, stopWorker)
	return err
}

// firstClaim bounds the claim of the task queues before this process listens. If Temporal is away, they are claimed
// later.
const firstClaim = 2 * time.Second

// claim makes sure once that the task queues belong to this installation.
func (a *App) claim(ctx context.Context) error {
	if a.claimed.Load() {
		return nil
	}
	err := worker.Claim(ctx, a.Temporal, a.Config.TaskQueue, a.installation)
	a.claimed.Store(err == nil)
	return err
}

// claimSoon is claim with a short timeout.
func (a *App) claimSoon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, firstClaim)
	defer cancel()
	return a.claim(ctx)
}

// prepare creates what the namespace needs, and calls Ready when everything is up. An error means that this process
// must not continue.
func (a *App) prepare(ctx context.Context, addr net.Addr) error {
	var taken *worker.TakenError
	until(ctx, a.temporalLog(), "task queues", func() error {
		err := a.claim(ctx)
		if errors.As(err, &taken) {
			return nil
		}
		return err
	})
	if taken != nil {
		return taken
	}
	until(ctx, a.temporalLog(), "search attributes", func() error { return engine.EnsureSearchAttributes(ctx, a.Temporal, a.Namespace) })
	a.prepared.Store(ctx.Err() == nil)
	if a.Worker {
		until(ctx, a.temporalLog(), "worker", func() error { return a.ready(ctx) })
	}
	if a.SignIn != nil && ctx.Err() == nil {
		if code, err := a.hooks.LocalCode(ctx); err == nil { // without it the key itself signs in
			a.SignIn(console.SignInPath(code))
		}
	}
	if a.Ready != nil && ctx.Err() == nil {
		a.Ready(addr)
	}
	return nil
}

// work starts the worker, as soon as Temporal is there, and the reconciler. It returns a function that stops the
// worker within the time of its context.
func (a *App) work(ctx context.Context, background *sync.WaitGroup) (stop func(context.Context)) {
	all := worker.Activities{
		Deliveries: a.makes,
		Health:     &activities.Health{Service: a.hooks, Store: a.store, Mailer: a.mailer, PublicURL: a.Config.PublicURL, Metrics: a.metrics, Log: a.Log},
		Housekeeping: &activities.Housekeeping{Service: a.hooks, Store: a.store, Retention: a.Config.Retention.Std(),
			AuditRetention: a.Config.AuditRetention.Std(), Now: a.store.Clock},
	}
	var polling *worker.Worker
	background.Go(func() {
		until(ctx, a.temporalLog(), "worker", func() error {
			if !a.claimed.Load() {
				return errors.New("the task queues are not claimed yet")
			}
			// A new worker for every try: the SDK's worker accepts a second Start, but then does not poll.
			w, err := worker.New(a.Temporal, workflows.NewQueues(a.Config.TaskQueue), all, worker.Deployment{Name: a.Config.Deployment, BuildID: a.Version})
			if err != nil {
				return err
			}
			if err := w.Start(); err != nil {
				return err
			}
			polling = w
			a.started.Store(true)
			return nil
		})
	})
	jobs := &worker.Jobs{Store: a.store, Engine: a.engine, Metrics: a.metrics, Log: a.Log, Now: a.store.Clock, Due: make(chan struct{}, 1)}
	background.Go(func() { jobs.Run(ctx) })
	batches := &worker.Batches{Store: a.store, Engine: a.engine, Log: a.Log, Now: a.store.Clock, Due: make(chan struct{}, 1)}
	background.Go(func() { batches.Run(ctx) })
	reconciler := &worker.Reconciler{Store: a.store, Engine: a.engine, Threshold: int64(a.Config.FailureThreshold), Metrics: a.metrics, Log: a.Log,
		Every: a.Config.Reconcile.Every, Overdue: a.Config.Reconcile.After, Others: a.makes.Courier.Others,
		Jobs: jobs.Due, Batches: batches.Due}
	background.Go(func() { reconciler.Run(ctx) })
	return func(ctx context.Context) {
		var direct, ended bool
		var parts sync.WaitGroup
		parts.Go(func() { direct = a.engine.FinishDirect(ctx) })
		parts.Go(func() { ended = polling == nil || polling.Stop(ctx) }) // the background work has ended
		if parts.Wait(); !direct || !ended {
			a.Log.Warn("POSTs were cut off at shutdown")
		}
	}
}

// temporalLog returns the log for waiting on Temporal: it says where Temporal is expected, and which setting says so.
func (a *App) temporalLog() *slog.Logger {
	return a.Log.With("address", a.TemporalAddress, "hint", "TEMPORAL_ADDRESS says where it is")
}

// until repeats try until it succeeds or ctx ends: Temporal may come up after us, or go and come back.
func until(ctx context.Context, log *slog.Logger, what string, try func() error) {
	for wait := 50 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
		err := try()
		if err == nil {
			return
		}
		if wait > time.Second {
			log.WarnContext(ctx, "Temporal is not ready; trying again", "for", what, "error", err)
		}
		_ = pause.For(ctx, wait)
	}
}

// ready reports whether this process can do its work. A worker must have started once; an API accepts events without
// Temporal.
func (a *App) ready(context.Context) error {
	switch {
	case !a.Worker:
		return nil
	case !a.prepared.Load():
		return errors.New("the namespace is not ready: Temporal cannot be reached, or does not know the search attributes yet")
	case !a.started.Load():
		return errors.New("the worker has not started: Temporal cannot be reached")
	}
	return nil
}

func (a *App) handler() (http.Handler, error) {
	gate, err := gateOf(a.Config, a.Dev)
	if err != nil {
		return nil, err
	}
	a.pages = console.New(console.Options{Service: a.hooks, Gate: gate, Ready: a.ready, FrameAncestors: a.Config.PortalFrameAncestors, Version: a.Version, Log: a.Log})
	return api.New(api.Options{Console: a.pages, Service: a.hooks, Store: a.store, Ready: a.ready, Draining: a.draining.Load, Version: a.Version, PublicURL: a.Config.PublicURL,
		Log: a.Log, Registry: a.registry, Systems: a.systems(gate), Gate: gate, ProbesOnly: !a.API, Traced: a.Config.OTLPEndpoint != ""})
}
