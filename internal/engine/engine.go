package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"

	"github.com/posthorn/posthorn/internal/fault"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// Outbox writes the entries of shared dispatches; *models.Store does.
type Outbox interface {
	CreateSharedDispatch(ctx context.Context, keys []models.DeliveryKey) (models.Dispatch, error)
}

// Options is what an Engine needs.
type Options struct {
	Client  client.Client
	Queues  workflows.Queues
	Outbox  Outbox
	Desk    *handoff.Desk // nil where no worker runs in this process
	Metrics *metrics.Metrics
	Log     *slog.Logger
	// Slots bounds the dispatches being started at once. Temporal collapses under too many: 20 to 30 a core.
	Slots int
	// GroupMax is the most deliveries in one shared dispatch.
	GroupMax int
	// MaxWaiting bounds the accepted deliveries that wait for a shared dispatch. Default 400 dispatches full, which is
	// 102,400 and about half a minute's work.
	MaxWaiting int
	// UIURL is the base of the Web UI's addresses; "" = no links.
	UIURL     string
	Namespace string
	// Retention is for how long the Web UI can show a closed workflow.
	Retention time.Duration
}

// Engine implements hooks.Engine.
type Engine struct {
	Options

	sharedMost int // shared dispatches on their way at once

	mu       sync.Mutex
	free     int           // start slots
	own      *rate.Limiter // workflows of a single event
	sharing  int           // shared dispatches on their way
	shared   time.Time     // when the last of them was started
	planned  bool          // the next one is
	waiting  line          // for a shared dispatch
	kept     int           // bytes of event data with them
	admitted int           // waiting, or about to
	room     chan struct{} // closed and replaced whenever a slot or room becomes free
	down     time.Time     // until when Temporal is taken to be away; zero since it answered
	nudges   map[string]*nudge

	launches chan struct{} // bounds the starts without a slot of their own at once
	jobs     sync.WaitGroup
	closing  atomic.Bool
	ctx      context.Context //nolint:containedctx // of what outlives its request, until Close is done
	end      context.CancelFunc
}

var _ hooks.Engine = (*Engine)(nil)

// New makes an Engine.
func New(o Options) *Engine {
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 400 * o.GroupMax
	}
	cores := runtime.GOMAXPROCS(0)
	e := &Engine{Options: o, free: o.Slots, own: rate.NewLimiter(rate.Limit(ownPerCore*cores), o.Slots),
		sharedMost: max(sharedLeast, sharedPerCore*cores), room: make(chan struct{}), nudges: map[string]*nudge{}, launches: make(chan struct{}, max(1, o.Slots))}
	e.ctx, e.end = context.WithCancel(context.Background())
	return e
}

// closeFor bounds Close: whoever stops the process waits for requests and POSTs under way before, and not for ever.
const closeFor = 5 * time.Second

// Close starts what waits, and waits for the starts under way. What does not begin in time, or comes later, is left to
// the reconciler.
func (e *Engine) Close() {
	e.closing.Store(true)
	e.mu.Lock()
	e.share()
	e.mu.Unlock()
	late := time.AfterFunc(closeFor, e.end)
	e.jobs.Wait()
	late.Stop()
	e.end()
}

// WorkflowID is the workflow id of a dispatch.
func (e *Engine) WorkflowID(dispatchID string) string { return workflows.DeliverID(dispatchID) }

// WorkflowURL is where the Web UI shows a workflow that ended at a time, or has not; "" if it is not known where the
// Web UI is, or it has forgotten the workflow.
func (e *Engine) WorkflowURL(workflowID string, ended *time.Time) string {
	if e.UIURL == "" || workflowID == "" || (ended != nil && time.Since(*ended) > e.Retention) {
		return ""
	}
	return fmt.Sprintf("%s/namespaces/%s/workflows/%s", strings.TrimRight(e.UIURL, "/"), url.PathEscape(e.Namespace), url.PathEscape(workflowID))
}

// startTimeout bounds one call to Temporal. The SDK gives a call half of it, in which it repeats what fails.
const startTimeout = 10 * time.Second

// downFor is for how long no start is tried after Temporal did not answer one.
const downFor = time.Second

// away tells whether Temporal is taken to be away. The first call after a while gets through, to find out; to the
// others it stays away until that one knows, as they would hold slots, and publishers, for as long as it does.
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

// isAway is true, too, of an engine that is closed: it starts nothing any more, and keeps nobody waiting.
func (e *Engine) isAway() bool { return e.ctx.Err() != nil || time.Now().Before(e.down) }

// heard notes whether Temporal answered. An error it answered with is an answer. One that is not there is rarely
// Unavailable: the SDK repeats the call until its time is up, and reports that.
func (e *Engine) heard(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch serviceerror.ToStatus(err).Code() {
	case codes.Unavailable, codes.DeadlineExceeded:
		e.down = time.Now().Add(downFor)
	case codes.Canceled: // by the caller, and says nothing of Temporal
	default:
		e.down = time.Time{}
	}
}

// start starts one dispatch's workflow, and tells whether it did. It may exist: then there is nothing to do.
func (e *Engine) start(d *models.Dispatch, work []handoff.Work) (started bool) {
	if e.away() {
		e.Metrics.Starts.WithLabelValues("failed").Inc()
		return false
	}
	ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
	defer cancel()
	_, err := e.Client.ExecuteWorkflow(ctx, e.options(d, work), workflows.DeliverType,
		workflows.DeliverInput{DispatchID: d.ID, Queue: e.Queues.Deliveries()})
	fault.Point("after-start")
	e.heard(err)
	var exists *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case errors.As(err, &exists):
		e.Metrics.Starts.WithLabelValues("exists").Inc()
	case err != nil:
		e.Metrics.Starts.WithLabelValues("failed").Inc()
		e.Log.Warn("dispatch not started; the reconciler will", "dispatch", d.ID, "error", err)
	default:
		e.Metrics.Starts.WithLabelValues("started").Inc()
		e.Metrics.DispatchSize.Observe(float64(len(d.Deliveries)))
		return true
	}
	return false
}

// taskTimeout is how long a workflow task of a dispatch may be silent before another worker gets it: how soon
// deliveries go on after a worker was killed.
const taskTimeout = 5 * time.Second

func (e *Engine) options(d *models.Dispatch, work []handoff.Work) client.StartWorkflowOptions {
	o := client.StartWorkflowOptions{
		ID:                    workflows.DeliverID(d.ID),
		TaskQueue:             e.Queues.Main(),
		WorkflowTaskTimeout:   taskTimeout,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		// ExecuteWorkflow would otherwise take a workflow that runs already for a success.
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		EnableEagerStart:                         e.Desk != nil,
	}
	o.TypedSearchAttributes, o.StaticSummary, o.StaticDetails = describe(d, work)
	return o
}

// Launch starts dispatches without a slot.
func (e *Engine) Launch(dispatches ...models.Dispatch) {
	for i := range dispatches {
		e.jobs.Go(func() { e.launch(&dispatches[i], nil) })
	}
}

// launch starts one beside the slots: as many at once as there are slots.
func (e *Engine) launch(d *models.Dispatch, work []handoff.Work) {
	e.launches <- struct{}{}
	defer func() { <-e.launches }()
	e.startHere(d, work)
}

// Recover starts a recovery's workflow; one that runs already is left alone.
func (e *Engine) Recover(recoveryID string) {
	e.jobs.Go(func() {
		ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
		defer cancel()
		_, err := e.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: workflows.RecoverID(recoveryID), TaskQueue: e.Queues.Main(), StaticSummary: "recovery " + recoveryID,
		}, workflows.RecoverType, workflows.RecoverInput{RecoveryID: recoveryID})
		if e.heard(err); err != nil {
			e.Log.Warn("recovery not started; the reconciler will", "recovery", recoveryID, "error", err)
		}
	})
}

// Alive tells whether a dispatch's workflow is running. An error means that Temporal did not say.
func (e *Engine) Alive(ctx context.Context, dispatchID string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	d, err := e.Client.DescribeWorkflowExecution(ctx, workflows.DeliverID(dispatchID), "")
	e.heard(err)
	var missing *serviceerror.NotFound
	switch {
	case errors.As(err, &missing):
		return false, nil
	case err != nil:
		return false, err
	}
	return d.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

// Ready tells whether Temporal answers.
func (e *Engine) Ready(ctx context.Context) error {
	_, err := e.Client.CheckHealth(ctx, &client.CheckHealthRequest{})
	return err
}

// describe says in the Web UI's terms what a dispatch is: search attributes, one line, and a paragraph.
func describe(d *models.Dispatch, work []handoff.Work) (temporal.SearchAttributes, string, string) {
	var tenants, types, webhooks, events set
	add := func(owed *models.Delivery) {
		tenants.add(owed.Tenant)
		types.add(owed.EventType)
		webhooks.add(owed.WebhookID)
		events.add(owed.EventID)
	}
	for i := range work {
		add(&work[i].Delivery)
	}
	for i := range d.Owed {
		add(&d.Owed[i])
	}
	attributes := temporal.NewSearchAttributes(workflows.StatusAttribute.ValueSet(workflows.StatusPending), workflows.TenantAttribute.ValueSet(tenants),
		workflows.EventTypeAttribute.ValueSet(types), workflows.WebhookAttribute.ValueSet(webhooks))
	details := "tenants: " + strings.Join(tenants, ", ") + "\n\nevents: " + strings.Join(events, ", ") + "\n\nwebhooks: " + strings.Join(webhooks, ", ")
	return attributes, summary(d, types, webhooks, events), details
}

func summary(d *models.Dispatch, types, webhooks, events set) string {
	switch {
	case len(types) == 0 || len(events) > 1:
		return fmt.Sprintf("%d deliveries, shared dispatch", len(d.Deliveries))
	case len(d.Deliveries) == 1:
		return fmt.Sprintf("%s to %s", types[0], webhooks[0])
	default:
		return fmt.Sprintf("%s to %d webhooks", types[0], len(d.Deliveries))
	}
}

// set is a few different values in the order they came, as many as a search attribute may have.
type set []string

func (s *set) add(value string) {
	if len(*s) == workflows.MaxAttributeValues || slices.Contains(*s, value) {
		return
	}
	size := len("[]")
	for _, other := range append(*s, value) {
		size += len(other) + len(`"",`) // none has a character that JSON escapes
	}
	if size <= workflows.MaxAttributeBytes {
		*s = append(*s, value)
	}
}
