package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"

	"github.com/posthorn/posthorn/internal/fault"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/lately"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/panics"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// Outbox writes the entries of shared dispatches, and reads those of others; *models.Store does.
type Outbox interface {
	CreateSharedDispatch(ctx context.Context, keys []models.DeliveryKey) (models.Dispatch, error)
	Dispatch(ctx context.Context, id string) (models.Dispatch, error)
	// Redispatch moves the rest of a dispatch into new ones, for the caller to start.
	Redispatch(ctx context.Context, id string) ([]models.Dispatch, error)
	// HandOver writes the dispatch of the deliveries that first attempts without a workflow have left over. ended are
	// those that have failed for good. Each has the dispatch that its attempt has named.
	HandOver(ctx context.Context, id string, left, ended []models.Delivery) (models.Dispatch, error)
}

// Options are the needs of an Engine.
type Options struct {
	Client  client.Client
	Queues  workflows.Queues
	Outbox  Outbox
	Desk    *handoff.Desk // nil if no worker runs in this process
	Metrics *metrics.Metrics
	Log     *slog.Logger
	// Threshold is how many failed receptions deactivate a webhook. Judge checks the count of one and deactivates it
	// if it is due: in this process, in case Temporal is slow or away. nil = only health workflows do.
	Threshold int64
	Judge     func(ctx context.Context, webhookID string) error
	// Sendable reports whether a webhook is active, as far as this process knows. nil = all are.
	Sendable func(ctx context.Context, tenant, webhookID string) bool
	// Owns reports whether deliveries accepted under a process id are still this process's to start. Others take over
	// the deliveries of a process that has been silent. nil = always.
	Owns func(process int64) bool
	// First makes first attempts outside of workflows. Posting returns the process id under which this process holds
	// them; ok is false if others may presume the process gone. nil = workflows make all.
	First   First
	Posting func() (process int64, ok bool)
	// LetGo lets other processes take over at once the deliveries that this one holds and has not started. It is
	// called when Temporal answers again after an outage in which starts failed. nil = the reconciler finds them when
	// they are overdue.
	LetGo func()
	// Named returns a webhook's name and host as this process last knew them, without a query; "" = unknown. nil =
	// none is known.
	Named func(tenant, webhookID string) (name, host string)
	// Webhook reads a webhook's tenant, name and host: for health workflows, which are rarely started. nil = unknown.
	Webhook func(ctx context.Context, webhookID string) (tenant, name, host string)
	// Recovered reads the webhook of a recovery; "" = unknown. nil = unknown.
	Recovered func(ctx context.Context, recoveryID string) (webhookID string)
	// Slots bounds the dispatches that are being started at once. Temporal collapses under too many: use 20 to 30 for
	// each core.
	Slots int
	// Cores is how many cores this process has; rates and shared dispatches are for each of them. 0 = GOMAXPROCS.
	Cores int
	// GroupMax is the most deliveries in one shared dispatch.
	GroupMax int
	// MaxWaiting bounds the accepted deliveries that wait for a shared dispatch. Default: 400 full dispatches, which
	// are 102,400 deliveries and about half a minute's work.
	MaxWaiting int
	// UIURL is the base URL of the Web UI, and ConsoleURL that of Posthorn's own pages; "" = no links.
	UIURL      string
	ConsoleURL string
	Namespace  string
	// Retention is how long the Web UI can show a closed workflow.
	Retention time.Duration
}

// Engine implements service.Engine.
type Engine struct {
	Options

	created    time.Time
	sharedMost int // the most shared dispatches in flight

	mu        sync.Mutex
	free      int                               // free start slots
	own       *rate.Limiter                     // the pace of workflows of a single event
	modest    *rate.Limiter                     // the same for tenants with few events, during a burst
	paces     *lru.Cache[string, *rate.Limiter] // the pace of each tenant's events
	loads     map[string]load                   // by tenant
	sharing   int                               // shared dispatches in flight
	shared    time.Time                         // when the last of them was started
	planned   bool                              // the next one is scheduled
	lately    lately.Tenants                    // tenants that publish
	waiting   sharedQueue                       // the queue for shared dispatches
	keptBytes int                               // the size of their event data
	admitted  int                               // waiting or about to wait; a tenant counts up to its limit
	direct    directLoad                        // first attempts outside of workflows
	room      chan struct{}                     // closed and replaced whenever a slot or room becomes free
	down      time.Time                         // until when the circuit is open; zero since Temporal answered
	answered  time.Time                         // when Temporal last answered
	outage    time.Time                         // when the last outage ended
	gaveUp    bool                              // something was not started
	later     int                               // dispatches to start a little later

	showing  showing
	leaving  leaving
	launches crew[launch]
	signals  *signals
	jobs     sync.WaitGroup
	closing  atomic.Bool
	ctx      context.Context //nolint:containedctx // for work that outlives its request, until Close is done
	end      context.CancelFunc
}

var _ service.Engine = (*Engine)(nil)

// New returns an Engine.
func New(o Options) *Engine {
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 400 * o.GroupMax
	}
	paces, err := lru.New[string, *rate.Limiter](maxPaces)
	if err != nil {
		panic(err) // only for a size below 1
	}
	cores := cmp.Or(o.Cores, runtime.GOMAXPROCS(0))
	e := &Engine{
		Options:    o,
		created:    time.Now(),
		sharedMost: max(sharedLeast, sharedPerCore*cores),
		free:       o.Slots,
		own:        rate.NewLimiter(rate.Limit(ownPerCore*cores), o.Slots),
		modest:     rate.NewLimiter(rate.Limit(modestPerCore*cores), o.Slots),
		paces:      paces,
		loads:      map[string]load{},
		room:       make(chan struct{}),
	}
	e.launches = crew[launch]{do: e.launch, most: max(1, o.Slots), room: maxLaunches, jobs: &e.jobs}
	e.signals = newSignals(e)
	e.ctx, e.end = context.WithCancel(context.Background())
	return e
}

// CloseFor bounds Close. It is the last part of a process's time to stop.
const CloseFor = 5 * time.Second

// Close starts the queued dispatches, and waits for the starts in flight. Starts that do not begin in time, or come
// later, are left to the reconciler.
func (e *Engine) Close() {
	e.closing.Store(true)
	e.mu.Lock()
	e.share()
	e.mu.Unlock()
	e.closeShown(nil)
	e.closeAllLeft()
	late := time.AfterFunc(CloseFor, e.end)
	e.jobs.Wait()
	late.Stop()
	e.end()
}

// WorkflowID returns the workflow id of a dispatch.
func (e *Engine) WorkflowID(dispatchID string) string { return e.Queues.DeliverID(dispatchID) }

// RecoveryID returns the workflow id of a recovery.
func (e *Engine) RecoveryID(recoveryID string) string { return e.Queues.RecoverID(recoveryID) }

// WorkflowURL returns the Web UI's URL of a workflow that ended at a time, or is still open; "" if the Web UI's
// address is unknown, or it no longer has the workflow.
func (e *Engine) WorkflowURL(workflowID string, ended *time.Time) string {
	if e.UIURL == "" || workflowID == "" || (ended != nil && time.Since(*ended) > e.Retention) {
		return ""
	}
	return fmt.Sprintf("%s/namespaces/%s/workflows/%s", strings.TrimRight(e.UIURL, "/"), url.PathEscape(e.Namespace), url.PathEscape(workflowID))
}

// startTimeout bounds one call to Temporal. Within half of it the SDK repeats a call that fails.
const startTimeout = 10 * time.Second

// downFor is how long no start is tried after Temporal did not answer one.
const downFor = time.Second

// away reports whether the circuit is open. Once it times out, a single probe call is let through. All others keep failing
// fast until the probe returns, or they would hold start slots and block publishers for as long as it takes.
func (e *Engine) away() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.isAway() {
		return true
	}
	if !e.down.IsZero() {
		e.down = time.Now().Add(startTimeout)
	}
	return false
}

// isAway is also true for a closed engine: it starts nothing any more, and makes nobody wait.
func (e *Engine) isAway() bool { return e.ctx.Err() != nil || time.Now().Before(e.down) }

// heard notes whether Temporal answered. An error in its answer counts as an answer. A server that is away rarely
// gives Unavailable: the SDK repeats the call until its time is up, and reports that.
func (e *Engine) heard(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch serviceerror.ToStatus(err).Code() {
	case codes.Unavailable, codes.DeadlineExceeded:
		e.down = time.Now().Add(downFor)
	case codes.Canceled: // by the caller; it says nothing about Temporal
	default:
		e.down = time.Time{}
		e.back()
	}
}

// start starts one dispatch's workflow, and reports whether it did. b are its first attempts, nil if none have begun.
func (e *Engine) start(d *models.Dispatch, work []handoff.Work, b *begun) (started bool) {
	started, exists := e.try(d, work, b)
	switch {
	case exists:
		e.Log.Error("Temporal has a workflow of this id that is not of this dispatch; what is left of its deliveries gets another", "dispatch", d.ID, "workflow", e.WorkflowID(d.ID))
		if b != nil {
			<-b.ended
		}
		e.startAgain(d)
		b.settle()
	case !started:
		e.startLater(d, b)
	default:
		b.settle()
	}
	return started
}

// try starts one dispatch's workflow. exists says that Temporal has another one with its id.
func (e *Engine) try(d *models.Dispatch, work []handoff.Work, b *begun) (started, exists bool) {
	if !b.over() && !e.owns(d.Process) || e.away() {
		e.Metrics.Starts.WithLabelValues("failed").Inc()
		e.giveUp()
		return false, false
	}
	ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
	defer cancel()
	t := e.describe(d, work)
	in := workflows.DeliverInput{About: t.about(), DispatchID: d.ID, Queue: e.Queues.Deliveries(), Tenant: tenantOf(d), Size: len(d.Deliveries)}
	in = b.tell(in)
	_, err := e.Client.ExecuteWorkflow(ctx, e.options(d, t, in.Shown), workflows.DeliverType, in)
	fault.Point("after-start")
	e.heard(err)
	var other *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case errors.As(err, &other):
		e.Metrics.Starts.WithLabelValues("exists").Inc()
		return false, true
	case err != nil:
		e.Metrics.Starts.WithLabelValues("failed").Inc()
		e.giveUp()
		e.Log.Warn("dispatch not started", "dispatch", d.ID, "error", err)
	default:
		e.Metrics.Starts.WithLabelValues("started").Inc()
		e.Metrics.DispatchSize.Observe(float64(len(d.Deliveries)))
		return true, false
	}
	return false, false
}

// startAgain starts the deliveries of a dispatch under other ids, because a workflow already has its id: one of
// another installation, or of a time that this database does not know. Deliveries that cannot be moved are left to the
// reconciler.
func (e *Engine) startAgain(d *models.Dispatch) {
	ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
	defer cancel()
	fresh, err := e.Outbox.Redispatch(ctx, d.ID)
	if err != nil {
		e.Log.Warn("deliveries not dispatched under another id; the reconciler will", "dispatch", d.ID, "error", err)
		return
	}
	for i := range fresh {
		e.try(&fresh[i], nil, nil)
	}
}

// owns reports whether deliveries accepted under a process id are still this process's to start.
func (e *Engine) owns(process int64) bool { return e.Owns == nil || e.Owns(process) }

// taskTimeout is how long a workflow task may be silent before another worker gets it: how soon deliveries go on after
// a worker was killed.
const taskTimeout = 5 * time.Second

func (e *Engine) options(d *models.Dispatch, t *told, status string) client.StartWorkflowOptions {
	o := client.StartWorkflowOptions{
		ID:                    e.Queues.DeliverID(d.ID),
		TaskQueue:             e.Queues.Dispatch(len(d.Deliveries)),
		WorkflowTaskTimeout:   taskTimeout,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		// Without this, ExecuteWorkflow counts a workflow that already runs as a success.
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		EnableEagerStart:                         e.Desk != nil,
		Priority:                                 temporal.Priority{FairnessKey: fairness(d)},
	}
	o.TypedSearchAttributes, o.StaticSummary, o.StaticDetails = t.attributes(cmp.Or(status, workflows.StatusPending)), t.what, t.details()
	return o
}

// The fairness keys of workflows without a tenant. They begin with a character that no tenant's id has.
const (
	fairShared   = "*shared" // dispatches of several tenants
	fairHealth   = "*health"
	fairRecovery = "*recovery"
)

// tenantOf returns the tenant of a dispatch; "" if it has several.
func tenantOf(d *models.Dispatch) string {
	tenant := ""
	for i := range d.Deliveries {
		if i > 0 && d.Deliveries[i].Tenant != tenant {
			return ""
		}
		tenant = d.Deliveries[i].Tenant
	}
	return tenant
}

// fairness returns a dispatch's key on the main queue: when that has a backlog, tenants take turns.
func fairness(d *models.Dispatch) string {
	return cmp.Or(tenantOf(d), fairShared)
}

// spawn does something in the background, before Close returns. After a panic the reconciler does the work.
func (e *Engine) spawn(do func()) {
	e.jobs.Go(func() { panics.Safely("the engine", do) })
}

// StartRecovery starts a recovery's workflow. One that already runs is left alone.
func (e *Engine) StartRecovery(recoveryID string) {
	e.spawn(func() {
		ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
		defer cancel()
		in := e.recoverInput(ctx, recoveryID)
		_, err := e.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: e.Queues.RecoverID(recoveryID), TaskQueue: e.Queues.Main(), WorkflowTaskTimeout: taskTimeout, StaticSummary: recoveryOf(in),
			Priority: temporal.Priority{FairnessKey: fairRecovery},
		}, workflows.RecoverType, in)
		if e.heard(err); err != nil {
			e.Log.Warn("recovery not started; the reconciler will", "recovery", recoveryID, "error", err)
		}
	})
}

// Ready reports whether Temporal answers.
func (e *Engine) Ready(ctx context.Context) error {
	_, err := e.Client.CheckHealth(ctx, &client.CheckHealthRequest{})
	return err
}
