package service

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/cut"
	"github.com/posthorn/posthorn/internal/fault"
	"github.com/posthorn/posthorn/internal/groupcommit"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/jsonschema"
	"github.com/posthorn/posthorn/models"
)

// MaxBatch is the most events that one request may publish.
const MaxBatch = 1000

// eventID is the form of a caller's own event id: it is used in a header, and in the signed text between dots.
var eventID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_:-]{0,127}$`)

// EventInput is one event to publish. Data is the JSON as it was posted.
type EventInput struct {
	ID         string // "" = generate one
	Type       string
	Data       json.RawMessage
	Attributes map[string]string
	ExternalID string   // the caller's own id, unique in the tenant; "" = none
	Channels   []string // decide which webhooks with channels get it
	Tags       []string
}

// Published is an event that has been accepted: it and all its deliveries are stored. WorkflowID is "" if it waits for
// a workflow shared with others, has none yet (Options.Retries), or matches no webhook. Replayed: an earlier request
// with the same idempotency key was accepted, and this is its answer.
type Published struct {
	ID         string `json:"id"`
	WorkflowID string `json:"workflow_id,omitempty"`
	Replayed   bool   `json:"-"`
}

// PublishRequest is one publish call: all of its events are accepted, or none.
type PublishRequest struct {
	Events []EventInput
	Key    string // idempotency key, or ""
	Body   []byte // of the request; compared if the key is used again, unless AnyBody
	// AnyBody: the idempotency key alone decides whether a request is the same.
	AnyBody bool
	Batch   bool      // names fields "events[i].…" in errors
	By      Principal // the publisher; the zero value is Posthorn itself
}

// The number of tries to publish while the tenant is being changed, and the longest wait before the second one.
const (
	staleTries = 10
	staleWait  = 2 * time.Millisecond
)

// Publish accepts events: when it returns without an error they are stored and will be delivered. An error that is not
// a refusal means that it is unknown whether they are stored.
func (s *Service) Publish(ctx context.Context, tenant string, r PublishRequest) ([]Published, error) {
	published, err := s.publishTo(ctx, tenant, r)
	if refused, ok := errors.AsType[*Error](err); !ok || refused.Code != NotFound {
		return published, err
	}
	// Another process has deleted the tenant. There may be another one with that name by now, which is the one that an admin means.
	s.directory.views.remove(tenant)
	if r.By.Role != models.RoleAdmin { // the key, which was in memory, was deleted with it
		if _, keyErr := s.Authenticate(ctx, r.By.key); r.By.key != "" && keyErr != nil {
			return nil, keyErr
		}
		return nil, err
	}
	id, lookErr := s.TenantID(ctx, r.By, models.TenantSlug(tenant))
	if lookErr != nil || id == tenant {
		return nil, err
	}
	return s.publishTo(ctx, id, r)
}

func (s *Service) publishTo(ctx context.Context, tenant string, r PublishRequest) ([]Published, error) {
	if err := checkKey(r.Key); err != nil {
		return nil, err
	}
	v, err := s.directory.cached(ctx, tenant)
	if err != nil {
		return nil, err
	}
	for tries := 0; ; tries++ {
		published, err := s.publish(ctx, v, tenant, r)
		switch {
		case !mayBeOutdated(err):
			return published, err
		case tries == staleTries:
			if errors.Is(err, models.ErrStale) {
				err = Refuse(Unavailable, "the tenant's webhooks keep changing; retry shortly")
			}
			return nil, err
		}
		// The view may be older than the tenant: a new event type, another webhook, a key that was revoked.
		newer, changed, loadErr := s.directory.renew(ctx, tenant, v)
		if loadErr != nil {
			return nil, loadErr
		}
		if !changed && !errors.Is(err, models.ErrStale) {
			return nil, err
		}
		if !changed { // a change is in progress and not committed yet
			select {
			case <-time.After(rand.N(staleWait << tries)): //nolint:gosec // spreads waits, guards nothing
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		v = newer
	}
}

// mayBeOutdated reports whether an outdated view may have caused an error.
func mayBeOutdated(err error) bool {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.Code == Invalid || refused.Code == Unauthorized
	}
	return errors.Is(err, models.ErrStale)
}

func checkKey(key string) error {
	if len(key) > 255 {
		return invalid(FieldError{"Idempotency-Key", "must be at most 255 characters"})
	}
	for _, c := range key {
		if c < 0x20 || c > 0x7e {
			return invalid(FieldError{"Idempotency-Key", "must be printable ASCII"})
		}
	}
	return nil
}

func (s *Service) publish(ctx context.Context, v snapshot, tenant string, r PublishRequest) ([]Published, error) {
	if !r.By.inForce(v.view) {
		return nil, Refuse(Unauthorized, "a valid API key is required")
	}
	done, err := s.Expand(ctx, tenant, len(r.Body))
	if err != nil {
		return nil, err
	}
	events, err := s.checkEvents(ctx, v, tenant, r)
	done()
	if err != nil {
		return nil, err
	}
	a := &acceptance{service: s, request: &models.Acceptance{Tenant: tenant, Version: v.version, SharedVersion: v.shared.version, Events: events, Key: r.Key}}
	for i := range events {
		if err := a.match(v, &events[i]); err != nil {
			return nil, err
		}
	}
	if !a.plan(ctx, r) {
		return nil, Refuse(Unavailable, "too many deliveries are queued; retry shortly")
	}
	if r.Key != "" {
		body := r.Body
		if r.AnyBody {
			body = nil
		}
		hash := sha256.Sum256(body)
		a.request.BodyHash, a.request.Answer = hash[:], answer(a.published)
	}
	fault.Point("before-accept")
	// If the caller hangs up the commit goes on, because stored deliveries must be started.
	result, err := s.accept.Do(context.WithoutCancel(ctx), a.request)
	if err == nil {
		err = result.Err
	}
	if err != nil || result.Replayed {
		a.abandon()
	} else {
		s.Metrics.Accepted.Add(float64(len(events)))
		fault.Point("after-accept")
		a.start()
	}
	switch {
	case errors.Is(err, groupcommit.ErrFull):
		return nil, Refuse(Unavailable, "the database is overloaded; retry shortly")
	case errors.Is(err, models.ErrKeyReused):
		return nil, Refuse(Conflict, "the idempotency key was used for another request")
	case errors.Is(err, models.ErrDuplicateEvent):
		return nil, Refuse(Conflict, "an event with this id has been accepted already")
	case errors.Is(err, models.ErrDuplicateExternal):
		return nil, Refuse(Conflict, "an event with this external_id has been accepted already")
	case err != nil:
		return nil, known(err, "tenant")
	case result.Replayed:
		return replayed(result.Answer)
	}
	return a.published, nil
}

// replayed returns the answer to an earlier request with the same key.
func replayed(answer string) ([]Published, error) {
	var first []Published
	if err := json.Unmarshal([]byte(answer), &first); err != nil {
		return nil, err
	}
	for i := range first {
		first[i].Replayed = true
	}
	return first, nil
}

func answer(published []Published) string {
	text, err := json.Marshal(published)
	if err != nil {
		panic(err) // two strings always encode
	}
	return string(text)
}

// checkEvents turns the input into events, or returns everything that is wrong with it.
func (s *Service) checkEvents(ctx context.Context, v snapshot, tenant string, r PublishRequest) ([]models.Event, error) {
	var p problems
	if len(r.Events) == 0 || len(r.Events) > MaxBatch {
		p.addf("events", "must be 1 to %d", MaxBatch)
		return nil, p.err()
	}
	now := s.Now().UTC().Truncate(time.Millisecond)
	events := make([]models.Event, len(r.Events))
	budget := s.checkBudget(r.Events...)
	for i, in := range r.Events {
		prefix := ""
		if r.Batch {
			prefix = index("events", i) + "."
		}
		if in.ID == "" {
			in.ID = models.NewID(models.PrefixEvent)
		} else if !eventID.MatchString(in.ID) {
			p.addf(prefix+"id", "must be 1 to 128 letters, digits, dashes, underscores or colons, and begin with a letter or digit")
		}
		if strings.HasPrefix(in.Type, models.OperationalPrefix) && r.By.KeyID != "" {
			p.addf(prefix+"type", "only Posthorn publishes events that begin with %q", models.OperationalPrefix)
		} else if err := s.checkEvent(ctx, &p, v, prefix, in, budget); err != nil {
			return nil, err
		}
		events[i] = models.Event{Tenant: tenant, ID: in.ID, Type: in.Type, Data: in.Data, Attributes: in.Attributes,
			ExternalID: in.ExternalID, Channels: once(in.Channels), Tags: once(in.Tags), CreatedAt: now}
	}
	return events, p.err()
}

// checkBudget returns the budget for checking a request's data against schemas.
func (s *Service) checkBudget(events ...EventInput) *jsonschema.Budget {
	bytes := 0
	for i := range events {
		bytes += len(events[i].Data)
	}
	return jsonschema.NewBudget(bytes, s.Now().Add(checkFor), s.Now)
}

func (s *Service) checkEvent(ctx context.Context, p *problems, v snapshot, prefix string, in EventInput, budget *jsonschema.Budget) error {
	if len(in.Attributes) > 20 {
		p.addf(prefix+"attributes", "must be at most 20")
	}
	for name, value := range in.Attributes {
		checkLength(p, prefix+"attributes."+name, value, 1000)
		checkLength(p, prefix+"attributes", name, 100)
	}
	checkLabels(p, prefix, &in)
	t := v.eventType(in.Type)
	if t == nil {
		p.addf(prefix+"type", "%q is not a known event type", cut.Text(in.Type, shownName))
		return nil
	}
	schema, err := t.compiled()
	if err != nil { // it was stored before the bounds existed
		p.addf(prefix+"type", "the schema of %q cannot be used and must be registered again: %s", in.Type, err)
	}
	if schema != nil {
		return checkData(ctx, p, prefix+"data", schema, in.Data, budget)
	}
	if !json.Valid(in.Data) {
		p.addf(prefix+"data", "must be JSON")
	}
	return nil
}

// acceptance is one publish call in progress: what it stores, and what starts after that.
type acceptance struct {
	service   *Service
	request   *models.Acceptance
	published []Published
	work      map[string][]handoff.Work // by dispatch
	waiting   []handoff.Work            // waiting for a shared dispatch
	reserved  bool
	direct    []handoff.Work    // first attempts without a workflow
	directID  string            // the id of the dispatch for those of them that are not received
	process   int64             // the process id that holds them
	members   map[string][]byte // webhooks of fan-outs, by event type and channels
	reached   int               // deliveries of the fan-outs
}

// plan decides what will drive the deliveries. With Retries this process makes the first attempts if it can do so at
// once. Otherwise every event gets its own workflow while start slots are free. If none is, its deliveries wait in
// memory for a shared one. False = there is no room to wait.
func (a *acceptance) plan(ctx context.Context, r PublishRequest) bool {
	s := a.service
	pending := map[string][]int{} // delivery indexes by event id
	n := 0
	for i, d := range a.request.Deliveries {
		if d.Status == models.Pending {
			pending[d.EventID] = append(pending[d.EventID], i)
			n++
		}
	}
	events := make(map[string]*models.Event, len(a.request.Events))
	for i := range a.request.Events {
		events[a.request.Events[i].ID] = &a.request.Events[i]
	}
	share := s.GroupMax > 1
	if s.Retries && n > 0 && n <= a.most() && (share || len(pending) == 1) && a.planDirect(ctx, r) {
		return true
	}
	// A batch of many events would take many slots at once, so it shares from the beginning.
	own := n > 0 && (!share || len(pending) == 1) && s.Engine.Reserve(ctx, a.request.Tenant, !share)
	a.reserved = own
	if n > 0 && !own && (!share || !s.Engine.Admit(ctx, a.request.Tenant, n)) {
		return false
	}
	a.work = map[string][]handoff.Work{}
	a.process = s.Store.ProcessID()
	for _, indexes := range pending {
		for _, k := range indexes {
			a.request.Deliveries[k].Process = a.process
		}
	}
	for i, e := range a.request.Events {
		published := Published{ID: e.ID}
		if own && len(pending[e.ID]) > 0 {
			published.WorkflowID = s.Engine.WorkflowID(a.dispatch(&e, r.Events[i].ID != "", pending[e.ID]))
		} else {
			for _, k := range pending[e.ID] {
				a.waiting = append(a.waiting, handoff.Work{Delivery: a.request.Deliveries[k], Event: events[e.ID]})
			}
		}
		a.published = append(a.published, published)
	}
	return true
}

// planDirect lets this process make the first attempts right after the commit, if it can do so at once. The deliveries
// name no dispatch: one is written for those that are not received.
func (a *acceptance) planDirect(ctx context.Context, r PublishRequest) bool {
	var work []handoff.Work
	var indexes []int
	event := 0 // deliveries are in the order of their events
	for k := range a.request.Deliveries {
		d := &a.request.Deliveries[k]
		if d.Status != models.Pending {
			continue
		}
		for a.request.Events[event].ID != d.EventID {
			event++
		}
		indexes, work = append(indexes, k), append(work, handoff.Work{Delivery: *d, Event: &a.request.Events[event]})
	}
	process, ok := a.service.Engine.ReserveDirect(ctx, work)
	if !ok {
		return false
	}
	for i, k := range indexes {
		a.request.Deliveries[k].Process, work[i].Delivery.Process = process, process
	}
	a.direct, a.directID = work, models.NewID(models.PrefixDispatch)
	if work[0].Event == work[len(work)-1].Event {
		a.directID = nameOf(work[0].Event, r.Events[event].ID != "")
	}
	for i := range a.request.Events {
		a.published = append(a.published, Published{ID: a.request.Events[i].ID})
	}
	return true
}

// nameOf returns the id of an event's own dispatch. Another tenant may have chosen the same event id, so a chosen id
// gets the tenant's id in front.
func nameOf(e *models.Event, chosen bool) string {
	if chosen {
		return e.Tenant + "/" + e.ID
	}
	return e.ID
}

// most returns the largest number of deliveries in a dispatch.
func (a *acceptance) most() int {
	if a.service.GroupMax > 1 {
		return a.service.GroupMax
	}
	return models.MaxDispatch
}

// dispatch gives an event its own workflows, and returns the id of the first.
func (a *acceptance) dispatch(e *models.Event, chosen bool, deliveries []int) string {
	name, most := nameOf(e, chosen), a.most()
	for part := 0; len(deliveries) > 0; part++ {
		id := name
		if part > 0 {
			id += "/part-" + strconv.Itoa(part+1)
		}
		n := min(len(deliveries), most)
		d := models.Dispatch{ID: id, CreatedAt: e.CreatedAt, CheckedAt: e.CreatedAt, Process: a.process}
		for _, k := range deliveries[:n] {
			delivery := &a.request.Deliveries[k]
			delivery.DispatchID = id
			d.Deliveries = append(d.Deliveries, delivery.Key())
			a.work[id] = append(a.work[id], handoff.Work{Delivery: *delivery, Event: e})
		}
		a.request.Dispatches = append(a.request.Dispatches, d)
		deliveries = deliveries[n:]
	}
	return name
}

// start starts what has been stored.
func (a *acceptance) start() {
	engine := a.service.Engine
	if len(a.direct) > 0 {
		engine.StartDirect(a.directID, a.direct)
	}
	if a.reserved {
		engine.Start(a.request.Tenant, a.request.Dispatches, a.work)
	}
	if len(a.waiting) > 0 {
		engine.Queue(a.waiting)
	}
}

// abandon releases what was reserved for deliveries that were not stored.
func (a *acceptance) abandon() {
	engine := a.service.Engine
	if len(a.direct) > 0 {
		engine.ReleaseDirect(a.direct)
	}
	if a.reserved {
		engine.Release(a.request.Tenant)
	}
	if len(a.waiting) > 0 {
		engine.Withdraw(a.request.Tenant, len(a.waiting))
	}
}
