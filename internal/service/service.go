// Package service holds the use cases: register, rotate, enable, publish, retry, recover and so on. All APIs and the console
// change state only through it, so every rule about what callers may change is here. internal/delivery records attempts,
// and the activities what workflows do, straight into models.
//
// It must not import Gin, Huma or Temporal. It reaches the engine through the interface Engine.
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

// Engine drives what must still happen. None of its methods waits for the engine: if something cannot be started now,
// the reconciler starts it later.
type Engine interface { //nolint:interfacebloat // one engine with many tasks; servicetest has the other implementation
	// Reserve takes a start slot for an event of a tenant if one is free, or, with wait, becomes free in a bounded
	// time. Start or Release must follow.
	Reserve(ctx context.Context, tenant string, wait bool) bool
	// Release returns a tenant's reserved slot.
	Release(tenant string)
	// Start starts the dispatches of a tenant's reserved slot. work may be nil: it is then read from the database.
	Start(tenant string, dispatches []models.Dispatch, work map[string][]handoff.Work)
	// ReserveDirect takes room to make the first attempts of a tenant's deliveries in this process, right after they
	// are stored and without a workflow, if that is possible without waiting. process is the id under which to hold
	// them. StartDirect, with the id of the dispatch for those that are not received, or ReleaseDirect must follow.
	ReserveDirect(ctx context.Context, work []handoff.Work) (process int64, ok bool)
	ReleaseDirect(work []handoff.Work)
	StartDirect(dispatchID string, work []handoff.Work)
	// ReserveAhead is ReserveDirect for an event with a start slot, whose workflow starts when its first attempts are
	// made, or a moment later. StartAhead or ReleaseDirect must follow.
	ReserveAhead(ctx context.Context, work []handoff.Work) (process int64, ok bool)
	StartAhead(tenant string, dispatch *models.Dispatch, work []handoff.Work)
	// ReserveAheadShared is ReserveDirect for events without a start slot. Those that are received share workflows that
	// show them. StartAheadShared or ReleaseDirect must follow.
	ReserveAheadShared(ctx context.Context, work []handoff.Work) (process int64, ok bool)
	StartAheadShared(dispatchID string, work []handoff.Work)
	// Launch starts dispatches without a slot: a retry, a resume, a recovery's page.
	Launch(dispatches ...models.Dispatch)
	// Admit waits, for a bounded time, for room for n deliveries of a tenant to wait for a shared dispatch. False =
	// there is none.
	Admit(ctx context.Context, tenant string, n int) bool
	// Withdraw returns the room admitted for n deliveries of a tenant that were not stored.
	Withdraw(tenant string, n int)
	// Later reports whether a tenant has so many deliveries waiting that those of a batch should wait in the database.
	Later(tenant string) bool
	// Queue queues admitted deliveries for the next shared dispatch.
	Queue(work []handoff.Work)
	// WakeHealth wakes the webhook's health workflow.
	WakeHealth(webhookID string)
	// StartRecovery starts a recovery's workflow.
	StartRecovery(recoveryID string)
	// WorkflowID returns the workflow of a dispatch, and RecoveryID that of a recovery.
	WorkflowID(dispatchID string) string
	RecoveryID(recoveryID string) string
	// Paused reports whether the dispatch's workflow is paused in Temporal, or an activity of it that delivers to the
	// webhook. It answers within a few seconds, with false if it does not know.
	Paused(ctx context.Context, dispatchID, webhookID string) bool
	// WorkflowURL returns the Web UI's URL of a workflow that ended at a time (nil = still open); "" = none.
	WorkflowURL(workflowID string, ended *time.Time) string
}

// Limits enforces webhooks' own limits, together with all deliveries; *delivery.Limits does.
type Limits interface {
	// Enter takes a place at a webhook that has limit places for all workers, and leave returns it. If there is none
	// for now, leave is nil, and turn is how long to wait before asking again.
	Enter(ctx context.Context, webhookID string, limit int) (leave func(), turn time.Duration, err error)
	// Pace waits for the webhook's next time at a rate, if that comes within a moment. Otherwise turn is how long to wait
	// before asking again.
	Pace(ctx context.Context, webhookID string, perSecond float64, moment time.Duration) (turn time.Duration, err error)
}

// Poster makes one POST; *sender.Client does.
type Poster interface {
	Post(ctx context.Context, r sender.Request) sender.Result
}

// URLChecker refuses a destination at registration, or returns it in its stored form; *sender.Guard does.
type URLChecker interface {
	CheckURL(ctx context.Context, raw string) (canonical string, err error)
	// Canonical is CheckURL without checking where the host leads.
	Canonical(raw string) (string, error)
}

// Options configures a Service. Fields without a default are required.
type Options struct {
	Store     *models.Store
	Box       *secrets.Box
	Guard     URLChecker
	Poster    Poster
	Posts     *slots.Slots // shared with deliveries; bounds test POSTs too. Default: its own slots
	Limits    Limits       // keeps test POSTs within their webhooks' limits. Default: no limits apply
	Engine    Engine
	AdminKey  string         // bootstrap admin key; "" = none
	AdminKeys []AdminKey     // additional ones, each with a name
	Retry     backoff.Policy // the installation's defaults
	Timeout   time.Duration
	Threshold int64 // failed receptions until a webhook is deactivated
	// Retention is how long events are kept: a recovery searches no further back for missed ones. 0 = without limit.
	Retention time.Duration
	// RequestRate is how many calls a second each key may make in this process; each tenant may make ten times as
	// many. 0 = without limit.
	RequestRate float64
	GroupMax    int              // most deliveries in one dispatch; 1 = no sharing
	Retries     bool             // make first attempts without a workflow if possible
	PublicURL   string           // base URL of links to the portal, without a trailing slash; "" = links cannot be created
	LogoOrigins []string         // allowed origins of a portal theme's logo; none = themes have no logo
	Dev         bool             // allow loopback receivers over plain http, whatever the profile
	Metrics     *metrics.Metrics // default: unregistered metrics
	Log         *slog.Logger     // default: slog.Default()
	Now         func() time.Time // default: time.Now
	// Pause makes a failed authentication wait. Default: wait for that long, or until ctx ends.
	Pause func(context.Context, time.Duration) error
}

// Service implements the use cases. It is safe for concurrent use.
type Service struct {
	Options
	directory *directory
	ids       *lru.Cache[string, string] // of tenants by slug; entries were correct once
	trials    trials
	seats     seats
	// The bounds above which deliveries follow in pages: for one event, and for one request.
	fanOutAbove, maxDirect int
	laterMost              int           // batches of a tenant whose deliveries wait in the database
	laterWait              time.Duration // for one of them to be done
	accept                 *groupcommit.Group[*models.Acceptance, models.Accepted]
	// Keys and rates of callers, in this process.
	admins  []adminKey
	guesses *guesses
	rates   *rates
	uses    *keyUses
}

// A publish commit must finish within acceptFor plus acceptEach for each of its rows, ten times what a row normally
// takes. Otherwise callers get an error that says that the outcome is unknown. Without a deadline, a half-open TCP
// connection would block them for a quarter of an hour.
const (
	acceptFor  = 10 * time.Second
	acceptEach = time.Millisecond
)

// defaultPosts is how many test POSTs may be in flight if Options has no Posts.
const defaultPosts = 256

// acceptRows is the most rows that several callers' publish calls store in one transaction. All callers in it wait for
// all of it. With half as many, callers that each send batches of 1,000 are stored 8 % slower.
const acceptRows = 4000

// acceptFrom is how many rows must wait before a second transaction starts next to a running one. It is about thirty calls with
// one event: a second transaction for fewer would cost more than it saves.
const acceptFrom = 100

// newAccept lets concurrent publish calls share a commit. If more come than one takes, tenants take turns.
func newAccept(commit func(context.Context, []*models.Acceptance) ([]models.Accepted, error)) *groupcommit.Group[*models.Acceptance, models.Accepted] {
	return groupcommit.New(commit, groupcommit.Options[*models.Acceptance]{Flushes: 2, FlushFrom: acceptFrom, Weight: (*models.Acceptance).Rows, MaxWeight: acceptRows,
		Key: func(a *models.Acceptance) string { return a.Tenant }})
}

// New returns a Service.
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
	s := &Service{Options: o, fanOutAbove: models.FanOutAbove, maxDirect: maxDirect, laterMost: laterMost, laterWait: laterWait}
	s.directory = newDirectory(s)
	s.ids = newLRU[string, string](maxTenants)
	s.admins, s.guesses, s.rates, s.uses = hashed(o.AdminKeys), newGuesses(o.Pause), newRates(o.RequestRate), newKeyUses(o.Store.KeyUsed)
	s.accept = newAccept(s.commit)
	s.seats = newSeats(o.Store.Readers())
	return s
}

// Close waits for background writes. The Store must stay open until then.
func (s *Service) Close() { s.uses.close() }

// commit stores a group of publish calls.
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
