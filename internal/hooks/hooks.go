// Package hooks is the use cases: register, rotate, enable, publish, retry, recover … It is the one door by which
// the API, the outside systems' APIs and the activities change state, so every rule about what may change lives here.
//
// It must not import Gin, Huma or Temporal: what it needs of the engine it asks for through the interface Engine.
package hooks

import (
	"context"
	"log/slog"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/posthorn/posthorn/internal/backoff"
	"github.com/posthorn/posthorn/internal/groupcommit"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/slots"
	"github.com/posthorn/posthorn/models"
)

// Engine drives what must still happen. None of its methods waits for the engine: what cannot be started now is
// started by the reconciler later.
type Engine interface { //nolint:interfacebloat // one engine, asked for one thing after the other; hookstest has the other one
	// Reserve takes a start slot for an event of a tenant if one is free, or, with wait, becomes free in a bounded time.
	// It must be followed by Start or Release.
	Reserve(ctx context.Context, tenant string, wait bool) bool
	// Release gives a tenant's reserved slot back.
	Release(tenant string)
	// Start starts the dispatches of a tenant's reserved slot. work may be nil: it is then read from the database.
	Start(tenant string, dispatches []models.Dispatch, work map[string][]handoff.Work)
	// Launch starts dispatches without a slot: a retry, a resume, a recovery's page.
	Launch(dispatches ...models.Dispatch)
	// Admit waits, for a bounded time, for room for n deliveries of a tenant to wait for a shared dispatch. False = there
	// is none.
	Admit(ctx context.Context, tenant string, n int) bool
	// Withdraw gives back the room admitted for n deliveries of a tenant that were not stored.
	Withdraw(tenant string, n int)
	// Queue lets admitted deliveries wait for the next shared dispatch.
	Queue(work []handoff.Work)
	// Judge wakes the webhook's health workflow.
	Judge(webhookID string)
	// Recover starts a recovery's workflow.
	Recover(recoveryID string)
	// WorkflowID is the workflow of a dispatch.
	WorkflowID(dispatchID string) string
	// Paused reports whether somebody has paused the dispatch's workflow in Temporal, or an activity of it that delivers to
	// the webhook. It answers within a few seconds, and no if it cannot know.
	Paused(ctx context.Context, dispatchID, webhookID string) bool
	// WorkflowURL is where the Web UI shows a workflow that ended at a time (nil = it has not); "" = nowhere.
	WorkflowURL(workflowID string, ended *time.Time) string
}

// Poster makes one POST; *sender.Client does.
type Poster interface {
	Post(ctx context.Context, r sender.Request) sender.Result
}

// URLChecker refuses a destination at registration, or returns it in the form in which it is kept; *sender.Guard does.
type URLChecker interface {
	CheckURL(ctx context.Context, raw string) (canonical string, err error)
	// Canonical is CheckURL without a look at where the host leads.
	Canonical(raw string) (string, error)
}

// Options is what a Service needs. All fields but Posts, Metrics, Log and Now are required.
type Options struct {
	Store     *models.Store
	Box       *secrets.Box
	Guard     URLChecker
	Poster    Poster
	Posts     *slots.Slots // shared with deliveries; bounds test POSTs too. Default: slots of its own
	Engine    Engine
	AdminKey  string         // bootstrap admin key; "" = no admin access
	Retry     backoff.Policy // the installation's defaults
	Timeout   time.Duration
	Threshold int64 // failed receptions until a webhook is deactivated
	GroupMax  int   // most deliveries in one dispatch; 1 = no sharing
	Dev       bool  // loopback receivers over plain http are allowed, whatever a profile asks for
	Metrics   *metrics.Metrics
	Log       *slog.Logger
	Now       func() time.Time
}

// Service is the use cases. It is safe for concurrent use.
type Service struct {
	Options
	directory *directory
	ids       *lru.Cache[string, string] // of tenants by slug; what is in it was right once
	// The bounds above which deliveries follow in pages: of one event, and of one request.
	fanOutAbove, maxDirect int
	accept                 *groupcommit.Group[*models.Acceptance, models.Accepted]
}

// acceptFor is how long a commit of what is published may take, and acceptEach how much longer for each of its rows, ten
// times what a row takes. Its callers are then told that it is unknown what has become of it: over a connection whose
// other end has gone without a word it would take a quarter of an hour.
const (
	acceptFor  = 10 * time.Second
	acceptEach = time.Millisecond
)

// defaultPosts is how many test POSTs may be in flight where Options has no Posts.
const defaultPosts = 256

// acceptRows is the most rows that publish calls of several callers store in one transaction. Everybody whose call is in
// it waits for all of it.
const acceptRows = 2000

// newAccept lets publish calls that come at the same time share a commit. When more come than one takes, tenants take
// turns.
func newAccept(commit func(context.Context, []*models.Acceptance) ([]models.Accepted, error)) *groupcommit.Group[*models.Acceptance, models.Accepted] {
	return groupcommit.New(commit, groupcommit.Options[*models.Acceptance]{Lanes: 2, Weight: (*models.Acceptance).Rows, MaxWeight: acceptRows,
		Key: func(a *models.Acceptance) string { return a.Tenant }})
}

// New makes a Service.
func New(o Options) *Service {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Posts == nil {
		o.Posts = slots.New(slots.Options{Capacity: defaultPosts})
	}
	if o.Metrics == nil {
		o.Metrics = metrics.New(prometheus.NewRegistry())
	}
	o.GroupMax = min(o.GroupMax, models.MaxDispatch)
	s := &Service{Options: o, fanOutAbove: models.FanOutAbove, maxDirect: maxDirect}
	s.directory = newDirectory(s)
	ids, err := lru.New[string, string](maxTenants)
	if err != nil {
		panic(err) // only for a size below 1
	}
	s.ids = ids
	s.accept = newAccept(s.commit)
	return s
}

// commit stores what has been published at the same time.
func (s *Service) commit(ctx context.Context, group []*models.Acceptance) ([]models.Accepted, error) {
	n := 0
	for _, a := range group {
		n += a.Rows()
	}
	ctx, cancel := context.WithTimeout(ctx, acceptFor+time.Duration(n)*acceptEach)
	defer cancel()
	return s.Store.Accept(ctx, group)
}
