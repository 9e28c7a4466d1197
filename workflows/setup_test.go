package workflows_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/posthorn/posthorn/activities"
	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

const (
	tenant    = "acme"
	eventType = "order.created"
	lane      = "posthorn-deliveries"
)

var quiet = slog.New(slog.DiscardHandler)

// story is one run of a workflow with time skipped, and what it showed of itself.
type story struct {
	*testsuite.TestWorkflowEnvironment
	statuses []string                   // values of the search attribute PosthornStatus, in order
	options  []workflow.ActivityOptions // of the regular activities, in the order they were scheduled
	told     workflows.DeliverResult    // by the last Deliver, all of it
}

func newStory(t *testing.T) *story {
	t.Helper()
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(log.NewStructuredLogger(quiet))
	s := &story{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment()}
	s.SetStartTime(time.Now())
	s.SetTestTimeout(time.Minute)
	s.SetWorkerOptions(worker.Options{
		Interceptors:             []interceptor.WorkerInterceptor{&scheduled{story: s}},
		DeadlockDetectionTimeout: time.Minute, // on a busy test machine
	})
	for name, w := range map[string]any{workflows.DeliverType: workflows.Deliver, workflows.WatchType: workflows.WatchWebhook,
		workflows.RecoverType: workflows.Recover, workflows.RetainType: workflows.Retain} {
		s.RegisterWorkflowWithOptions(w, workflow.RegisterOptions{Name: name})
	}
	return s
}

// scheduled notes the options of activities, which the test environment does not pass on to them in full.
type scheduled struct {
	interceptor.WorkerInterceptorBase
	story *story
}

// InterceptWorkflow implements interceptor.WorkerInterceptor.
func (f *scheduled) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &scheduledIn{WorkflowInboundInterceptorBase: interceptor.WorkflowInboundInterceptorBase{Next: next}, story: f.story}
}

type scheduledIn struct {
	interceptor.WorkflowInboundInterceptorBase
	story *story
}

// Init implements interceptor.WorkflowInboundInterceptor.
func (f *scheduledIn) Init(next interceptor.WorkflowOutboundInterceptor) error {
	return f.Next.Init(&scheduledOut{WorkflowOutboundInterceptorBase: interceptor.WorkflowOutboundInterceptorBase{Next: next}, story: f.story})
}

type scheduledOut struct {
	interceptor.WorkflowOutboundInterceptorBase
	story *story
}

// ExecuteActivity implements interceptor.WorkflowOutboundInterceptor.
func (f *scheduledOut) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	f.story.options = append(f.story.options, workflow.GetActivityOptions(ctx))
	return f.Next.ExecuteActivity(ctx, name, args...)
}

// keys returns the fairness keys of the regular activities.
func (s *story) keys() []string {
	var all []string
	for _, o := range s.options {
		all = append(all, o.Priority.FairnessKey)
	}
	return all
}

// does registers the substitute for an activity.
func (s *story) does(name string, do any) {
	s.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: name})
}

// ExecuteWorkflow runs a workflow to its end. Activities cannot be registered any more.
func (s *story) ExecuteWorkflow(name string, in ...any) {
	s.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
		if status, ok := args.Get(0).(temporal.SearchAttributes).GetKeyword(workflows.StatusAttribute); ok {
			s.statuses = append(s.statuses, status)
		}
	}).Return(nil).Maybe()
	s.TestWorkflowEnvironment.ExecuteWorkflow(name, in...)
}

// deliver runs Deliver to its end, and returns the number of deliveries by result.
func (s *story) deliver(t *testing.T, dispatchID string) workflows.DeliverResult {
	t.Helper()
	s.ExecuteWorkflow(workflows.DeliverType, workflows.DeliverInput{DispatchID: dispatchID, Queue: lane})
	require.True(t, s.IsWorkflowCompleted())
	require.NoError(t, s.GetWorkflowError())
	s.told = workflows.DeliverResult{}
	require.NoError(t, s.GetWorkflowResult(&s.told))
	result := s.told
	result.Summary, result.NotDelivered, result.Unlisted = "", nil, 0
	return result
}

// house is an installation with real activities on a real database. Its receivers are a function, and its clock
// follows that of the story being run.
type house struct {
	*servicetest.Env
	t          *testing.T
	deliveries *activities.Deliveries
	health     *activities.Health
	keeper     *activities.Housekeeping
	mailer     *mailer

	mu       sync.Mutex
	story    *story
	answer   func(url string, n int) sender.Result // n counts the POSTs to the URL, from 1
	posts    map[string][]time.Time                // when, by URL
	timeouts []time.Duration                       // of the POSTs
}

func newHouse(t *testing.T, answer func(url string, n int) sender.Result) *house {
	t.Helper()
	h := &house{t: t, answer: answer, posts: map[string][]time.Time{}, mailer: &mailer{}}
	h.Env = servicetest.New(t, servicetest.WithPoster(h))
	_, _, err := h.Service.PutTenant(t.Context(), models.Tenant{ID: tenant, Name: "Acme", AdminEmails: []string{"ops@acme.test"}})
	require.NoError(t, err)
	h.EventTypes(eventType)
	m := metrics.New(prometheus.NewRegistry())
	h.deliveries = &activities.Deliveries{Courier: &delivery.Courier{Service: h.Service, Store: h.Store, Desk: handoff.NewDesk(1<<20, h.Clock.Now),
		Recorder: delivery.NewRecorder(h.Store, quiet), Cap: delivery.NewCap(), Limits: delivery.NewLimits(h.Store.LeaseHolder, h.Store, h.Clock.Now),
		Failed: func(string, int64, int64) {}, Metrics: m, Log: quiet, Now: h.Clock.Now}}
	h.health = &activities.Health{Service: h.Service, Store: h.Store, Mailer: h.mailer, Metrics: m, Log: quiet}
	h.keeper = &activities.Housekeeping{Service: h.Service, Store: h.Store, Now: h.Clock.Now}
	return h
}

// Post implements service.Poster.
func (h *house) Post(_ context.Context, r sender.Request) sender.Result {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.Clock.Now()
	h.posts[r.URL] = append(h.posts[r.URL], now)
	h.timeouts = append(h.timeouts, r.Timeout)
	result := h.answer(r.URL, len(h.posts[r.URL]))
	result.StartedAt, result.Duration = now, 5*time.Millisecond
	return result
}

// got returns the times of the POSTs to a URL.
func (h *house) got(url string) []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]time.Time(nil), h.posts[url]...)
}

func refused(string, int) sender.Result {
	return sender.Result{Outcome: sender.Failed, StatusCode: 500, Error: "500 Internal Server Error"}
}

func received(string, int) sender.Result {
	return sender.Result{Outcome: sender.Received, StatusCode: 204}
}

// catchUp puts the house's clock to the story's time.
func (h *house) catchUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if behind := h.story.Now().Sub(h.Clock.Now()); behind > 0 {
		h.Clock.Advance(behind)
	}
}

// open begins a story in the house. Activities in instead stand for the real ones.
func (h *house) open(instead map[string]any) *story {
	s := newStory(h.t)
	h.mu.Lock()
	h.story = s
	h.mu.Unlock()
	s.SetStartTime(h.Clock.Now())
	own := map[string]any{
		workflows.FirstAttempts: inTime(h, h.deliveries.FirstAttempts), workflows.AttemptMany: inTime(h, h.deliveries.AttemptMany),
		workflows.Attempt: inTime(h, h.deliveries.Attempt), workflows.LookUp: inTime(h, h.deliveries.LookUp),
		workflows.Finish: h.deliveries.Finish, workflows.Judge: inTime(h, h.health.Judge), workflows.Notify: h.health.Notify,
		workflows.ReleasePage: inTime(h, h.keeper.ReleasePage),
	}
	for name, do := range own {
		if instead[name] != nil {
			do = instead[name]
		}
		s.does(name, do)
	}
	return s
}

// inTime makes an activity happen at the story's time.
func inTime[I, O any](h *house, do func(context.Context, I) (O, error)) func(context.Context, I) (O, error) {
	return func(ctx context.Context, in I) (O, error) {
		h.catchUp()
		return do(ctx, in)
	}
}

// hook registers a webhook.
func (h *house) hook(url string, changes ...func(*service.WebhookChange)) models.Webhook {
	h.t.Helper()
	c := service.WebhookChange{URL: &url, By: "test"}
	for _, change := range changes {
		change(&c)
	}
	w, _, err := h.Service.CreateWebhook(h.t.Context(), tenant, c)
	require.NoError(h.t, err)
	return w
}

// publish publishes an event and returns its dispatch.
func (h *house) publish() models.Dispatch {
	h.t.Helper()
	before := len(h.Engine.Dispatches())
	h.Publish(tenant, eventType, `{}`)
	all := h.Engine.Dispatches()
	require.Len(h.t, all, before+1)
	return all[before]
}

func (h *house) delivery(id string) models.Delivery {
	h.t.Helper()
	d, err := h.Store.Delivery(h.t.Context(), tenant, id)
	require.NoError(h.t, err)
	return d
}

func (h *house) finished(dispatchID string) bool {
	h.t.Helper()
	_, err := h.Store.Dispatch(h.t.Context(), dispatchID)
	if err != nil {
		require.ErrorIs(h.t, err, models.ErrNotFound)
	}
	return err != nil
}
