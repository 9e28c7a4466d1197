package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/models"
)

// The bounds of tests in one process.
const (
	// webhookTests and tenantTests are how many test calls of a webhook, and of a tenant, may run at once.
	webhookTests = 2
	tenantTests  = 8
	// testWait is how long a test POST waits for its webhook's limits and for a slot.
	testWait = 30 * time.Second
	// testAsk is the shortest time between two requests for a place at its webhook, and testTurn the longest.
	testAsk  = 20 * time.Millisecond
	testTurn = time.Second
	// testRetry is the time after which a refused test call may be repeated.
	testRetry = time.Second
)

// trials counts the running test calls in this process. The zero value is ready.
type trials struct {
	wait    time.Duration // 0 = testWait
	mu      sync.Mutex
	running map[trial]int
}

// trial is a webhook of a tenant, or, with webhook "", the whole tenant.
type trial struct{ tenant, webhook string }

// begin counts a test call until end is called. TooMany if there are too many.
func (t *trials) begin(tenant, webhook string) (end func(), err error) {
	one, all := trial{tenant, webhook}, trial{tenant: tenant}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.running[one] >= webhookTests:
		return nil, tooMany(testRetry, "%d tests of this webhook are running; retry when one has ended", webhookTests)
	case t.running[all] >= tenantTests:
		return nil, tooMany(testRetry, "%d tests of this tenant's webhooks are running; retry when one has ended", tenantTests)
	}
	if t.running == nil {
		t.running = map[trial]int{}
	}
	t.running[one]++
	t.running[all]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, of := range []trial{one, all} {
			if t.running[of]--; t.running[of] == 0 {
				delete(t.running, of)
			}
		}
	}, nil
}

// errNoTurn ends a test POST's wait.
var errNoTurn = errors.New("no turn")

func (s *Service) testWait() time.Duration { return cmp.Or(s.trials.wait, testWait) }

// admitTest admits a test POST when its webhook's limits allow it and the process has a slot. release returns what it
// takes.
func (s *Service) admitTest(ctx context.Context, r *Receiver) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.testWait(), errNoTurn)
	defer cancel()
	leave, err := s.placeTest(ctx, r.Webhook)
	if err != nil {
		return nil, err
	}
	slot, err := s.Posts.Acquire(ctx, r.Webhook.Tenant, r.Host)
	if err != nil {
		leave()
		return nil, err
	}
	return func() { slot(); leave() }, nil
}

// placeTest takes a place in flight at the webhook and a time at its rate, if it has such limits.
func (s *Service) placeTest(ctx context.Context, w *models.Webhook) (leave func(), err error) {
	if s.Limits == nil {
		return func() {}, nil
	}
	for {
		var turn time.Duration
		leave = func() {}
		if w.MaxInFlight > 0 {
			leave, turn, err = s.Limits.Enter(ctx, w.ID, w.MaxInFlight)
		}
		if err == nil && leave != nil && w.RateLimit > 0 {
			turn, err = s.Limits.Pace(ctx, w.ID, w.RateLimit, testTurn)
			if err != nil || turn > 0 { // it holds no place while it waits
				leave()
				leave = nil
			}
		}
		if err != nil || leave != nil {
			return leave, err
		}
		if err := pause.For(ctx, min(max(turn, testAsk), testTurn)); err != nil {
			return nil, err
		}
	}
}

// notSent returns the result of a test POST that was not admitted.
func (s *Service) notSent(ctx context.Context, r *Receiver, err error) sender.Result {
	result := sender.Result{StartedAt: s.Now(), Outcome: sender.Local, Reason: sender.ReasonCanceled, Aborted: true}
	w := r.Webhook
	switch {
	case ctx.Err() != nil:
		result.Error = "not sent: the caller gave up before there was a free slot"
	case !errors.Is(err, errNoTurn) && !errors.Is(err, context.DeadlineExceeded):
		s.Log.ErrorContext(ctx, "test POST could not be admitted", "tenant", w.Tenant, "webhook", w.ID, "error", err)
		result.Error = "not sent: an internal error occurred; it has been logged"
	default:
		var limits []string
		if w.MaxInFlight > 0 {
			limits = append(limits, fmt.Sprintf("max_in_flight %d", w.MaxInFlight))
		}
		if w.RateLimit > 0 {
			limits = append(limits, fmt.Sprintf("rate_limit %g", w.RateLimit))
		}
		result.Error = "not sent: there was no free slot within " + s.testWait().String()
		if len(limits) > 0 {
			result.Error = fmt.Sprintf("not sent: the webhook's limits (%s) allowed no POST within %s", strings.Join(limits, ", "), s.testWait())
		}
	}
	return result
}
