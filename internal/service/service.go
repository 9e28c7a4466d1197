// Package service is the use cases: register, rotate, enable, publish, retry, recover … It is the one door by which
// the API, the outside systems' APIs and the activities change state, so every rule about what may change lives here.
//
// It must not import Gin, Huma or Temporal: what it needs of the engine it asks for through the interface Engine.
package service

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
	"github.com/posthorn/posthorn/internal/panics"
	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/slots"
	"github.com/posthorn/posthorn/models"
)

// Engine drives what must still happen. None of its methods waits for the engine: what cannot be started now is
// started by the reconciler later.
type Engine interface { //nolint:interfacebloat // one engine, asked for one thing after the other; servicetest has the other one
	// Reserve takes a start slot for an event of a tenant if one is free, or, with wait, becomes free in a bounded time.
	// It must be followed by Start or Release.
	Reserve(ctx context.Context, tenant string, wait bool) bool
	// Release gives a tenant's reserved slot back.
	Release(tenant string)
	// Start starts the dispatches of a tenant's reserved slot. work may be nil: it is then read from the database.
	Start(tenant string, dispatches []models.Dispatch, work map[string][]handoff.Work)
	// ReserveDirect takes room to make the first attempts of deliveries of a tenant in this process, right after they are
	// stored and without a workflow, if that can be done without a wait. process is the id to hold them under. It must be
	// followed by StartDirect, with the id of the dispatch that is to drive what is not received, or ReleaseDirect.
	ReserveDirect(ctx context.Context, work []handoff.Work) (process int64, ok bool)
	ReleaseDirect(work []handoff.Work)
	StartDirect(dispatchID string, work []handoff.Work)
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
	// WorkflowID is the workflow of a dispatch, and RecoveryID that of a recovery.
	WorkflowID(dispatchID string) string
	RecoveryID(recoveryID string) string
	// Paused reports whether somebody has paused the dispatch's workflow in Temporal, or an activity of it that delivers to
	// the webhook. It answers within a few seconds, and no if it cannot know.
	Paused(ctx context.Context, dispatchID, webhookID string) bool
	// WorkflowURL is where the Web UI shows a workflow that ended at a time (nil = it has not); "" = nowhere.
	WorkflowURL(workflowID string, ended *time.Time) string
}

// Limits keeps to what webhooks ask for, together with all deliveries; *delivery.Limits does.
type Limits interface {
	// Enter takes a place at a webhook that has limit of them for all workers, and leave gives it back. leave is nil if there
	// is none for now, and turn how long to wait before asking again.
	Enter(ctx context.Context, webhookID string, limit int) (leave func(), turn time.Duration, err error)
	// Pace waits for the webhook's next time at a rate, if that comes within a moment. Otherwise turn is how long to wait
	// before asking again.
	Pace(ctx context.Context, webhookID string, perSecond float64, moment time.Duration) (turn time.Duration, err error)
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

// Options is what a Service needs. Those without a default are required.
type Options struct {
	Store     *models.Store
	Box       *secrets.Box
	Guard     URLChecker
	Poster    Poster
	Posts     *slots.Slots // shared with deliveries; bounds test POSTs too. Default: slots of its own
	Limits    Limits       // keeps test POSTs within their webhooks' limits. Default: nothing does
	Engine    Engine
	AdminKey  string         // bootstrap admin key; "" = none
	AdminKeys []AdminKey     // more of them, each with a name
	Retry     backoff.Policy // the installation's defaults
	Timeout   time.Duration
	Threshold int64 // failed receptions until a webhook is deactivated
	// Retention is how long events are kept: a recovery looks no further back for missed ones. 0 = any.
	Retention time.Duration
	// RequestRate is how many calls a second each key may make in this process, and each tenant ten times as many. 0 = any.
	RequestRate float64
	GroupMax    int              // most deliveries in one dispatch; 1 = no sharing
	Retries     bool             // first attempts are made without a workflow where that is possible
	PublicURL   string           // base of the links to the portal, without a slash at its end; "" = none can be made
	LogoOrigins []string         // that the logo of a portal link's theme may come from; none = a theme has no logo
	Dev         bool             // loopback receivers over plain http are allowed, whatever a profile asks for
	Metrics     *metrics.Metrics // default: metrics that nobody reads
	Log         *slog.Logger     // default: slog.Default()
	Now         func() time.Time // default: time.Now
	// Pause makes a failed authentication wait; default: for that long, or until ctx ends.
	Pause func(context.Context, time.Duration)
}

// Service is the use cases. It is safe for concurrent use.
type Service struct {
	Options
	directory *directory
	ids       *lru.Cache[string, string] // of tenants by slug; what is in it was right once
	trials    trials
	seats     seats
	// The bounds above which deliveries follow in pages: of one event, and of one request.
	fanOutAbove, maxDirect int
	accept                 *groupcommit.Group[*models.Acceptance, models.Accepted]
	// Keys and rates of callers, in this process.
	admins  []adminKey
	guesses *guesses
	rates   *rates
	uses    *keyUses
}

// A publish commit must finish within acceptFor, and acceptEach more for each of its rows, ten times what a row normally
// takes. Then callers get an error that says that the outcome is unknown. Without a deadline, a half-open TCP connection
// would block them for a quarter of an hour.
const (
	acceptFor  = 10 * time.Second
	acceptEach = time.Millisecond
)

// defaultPosts is how many test POSTs may be in flight where Options has no Posts.
const defaultPosts = 256

// acceptRows is the most rows that publish calls of several callers store in one transaction. Everybody whose call is in
// it waits for all of it. With half as many, callers that each send batches of 1,000 are stored 8 % slower.
const acceptRows = 4000

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
	s.ids = newLRU[string, string](maxTenants)
	s.admins, s.guesses, s.rates, s.uses = hashed(o.AdminKeys), newGuesses(o.Pause), newRates(o.RequestRate), newKeyUses(o.Store.KeyUsed)
	s.accept = newAccept(s.commit)
	s.seats = newSeats(o.Store.Readers())
	return s
}

// Close waits for what is being written behind callers' backs. The Store must be open until then.
func (s *Service) Close() { s.uses.close() }

// commit stores what has been published at the same time.
func (s *Service) commit(ctx context.Context, group []*models.Acceptance) (accepted []models.Accepted, err error) {
	defer panics.Into(&err, "the commit of what was published")
	n := 0
	for _, a := range group {
		n += a.Rows()
	}
	ctx, cancel := context.WithTimeout(ctx, acceptFor+time.Duration(n)*acceptEach)
	defer cancel()
	return s.Store.Accept(ctx, group)
}
