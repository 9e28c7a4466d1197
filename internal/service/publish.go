package service

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/posthorn/posthorn/internal/fault"
	"github.com/posthorn/posthorn/internal/groupcommit"
	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/models"
)

// MaxBatch is the most events that one request may publish.
const MaxBatch = 1000

// The bounds of batches whose deliveries wait in the database.
const (
	laterLeast = 100  // the fewest events of a request
	laterMost  = 1000 // the most of a tenant: the next one waits until there are fewer, and is refused after laterWait
	laterWait  = 5 * time.Second
	laterPause = 250 * time.Millisecond
)

// EventInput is one event to publish. Data is the JSON as it was posted.
type EventInput struct {
	ID         string // "" = generate one
	Type       string
	Data       json.RawMessage
	Attributes map[string]string
	ExternalID string   // the caller's own id, unique in the tenant; "" = none
	Channels   []string // decide which webhooks with channels get it
	Tags       []string
	KeepData   time.Duration // for how long its data is kept, if that is shorter than the retention; 0 = as long as the event
}

// Published is an event that has been accepted: it is stored, with its deliveries or what they follow from. WorkflowID is
// "" if it is to share a workflow, has none yet (Options.Retries), or matches no webhook. Replayed: an earlier request
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
	Batch   bool         // names fields "events[i].…" in errors
	By      Principal    // the publisher; the zero value is Posthorn itself
	Wrong   []FieldError // errors that the caller has found already: the request is refused with them and all others
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
			if err := pause.For(ctx, rand.N(staleWait<<tries)); err != nil { //nolint:gosec // spreads waits, guards nothing
				return nil, err
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
	if a.later, err = s.later(ctx, tenant, len(events)); err != nil {
		return nil, err
	}
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

// later reports whether the deliveries of a request's events should wait in the database. If the tenant has as many
// batches there as it may, it waits: they must not be overtaken.
func (s *Service) later(ctx context.Context, tenant string, events int) (bool, error) {
	if events < laterLeast || !s.Engine.Later(tenant) {
		return false, nil
	}
	for wait := time.Duration(0); ; wait += laterPause {
		n, err := s.Store.Batches(ctx, tenant, s.laterMost)
		switch {
		case err != nil || n < int64(s.laterMost):
			return err == nil, err
		case wait >= s.laterWait:
			return false, Refuse(Unavailable, "too many batches are queued; retry shortly")
		}
		if err := pause.For(ctx, laterPause); err != nil {
			return false, err
		}
	}
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
