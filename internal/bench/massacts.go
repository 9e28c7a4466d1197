package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// storedPayload is the size of an event's data, in bytes, when a million are stored.
const storedPayload = 128

// later is when the deliveries are due that an act should find pending.
const later = time.Hour

// storedCrowd starts a Posthorn with a webhook that has stored deliveries, and a neighbour.
func (m *mass) storedCrowd(ctx context.Context, name string, n int, due time.Duration, settings ...string) (*stream, *neighbour, error) {
	if err := m.begin(ctx, settings...); err != nil {
		return nil, nil, err
	}
	m.o.Payload = storedPayload
	s, beside := m.crowd(name, 1), m.neighbour()
	if name == goneName {
		h := s.hooks[0]
		h.refuse = func(uint32) int { // the first is received
			if h.received.Load() > 0 {
				return http.StatusGone
			}
			return 0
		}
	}
	if err := m.register(ctx, s, beside.stream); err != nil {
		return nil, nil, err
	}
	m.progress.follow(s)
	// The one that the others are copies of.
	if err := m.closedLoop(ctx, s, 1, m.size.Watch, 1); err != nil {
		return nil, nil, err
	}
	m.progress.phase("storing deliveries")
	first, ok := m.ledger.take(n)
	if !ok {
		return nil, nil, errors.New("there are not so many sequence numbers")
	}
	if err := m.stage.Store(ctx, s.hooks[0].id, n, first, due); err != nil {
		return nil, nil, err
	}
	return s, beside, m.work(ctx)
}

// act makes a call that is answered at once, and notes how long the answer took. It returns when the call began and was
// answered.
func (m *mass) act(ctx context.Context, name, method, path string) (began, answered time.Time, err error) {
	m.progress.phase(name)
	began = time.Now()
	err = m.target.do(ctx, method, path, nil, nil)
	answered = time.Now()
	switch took := answered.Sub(began); {
	case err != nil:
		m.notef(name+" is answered", "≤ 1 s", "%v after %s", err, short(took))
	default:
		m.notef(name+" is answered", "≤ 1 s", "%s", short(took))
	}
	return began, answered, ctx.Err()
}

// follow notes how long it takes, from the act on, until no delivery of the webhook has one of these standings.
func (m *mass) follow(ctx context.Context, h *hook, n int, what string, began time.Time, ways ...Standing) {
	m.progress.phase(what)
	_, ok := m.waitFor(ctx, askLast, func(ctx context.Context) (bool, error) {
		left, err := m.stage.Left(ctx, h.id, ways...)
		return !left, err
	})
	if !ok {
		m.notef(what, "20,000/s", "%s", m.never())
		return
	}
	m.notef(what, "20,000/s", "%s", perSecond(n, time.Since(began)))
}

// beside lets the neighbour publish until the part returns, if wanted is set.
func (m *mass) beside(ctx context.Context, n *neighbour, wanted bool) (stop func()) {
	if !wanted {
		return func() {}
	}
	heard := n.during(ctx)
	sleep(ctx, time.Second)
	return func() { m.heard(heard(), mustBeside) }
}

// goneName is the crowd whose receiver answers 410 once it has received something.
const goneName = "gone"

// gone deactivates a webhook with a million pending deliveries, by answering one more with 410.
func (m *mass) gone(ctx context.Context, beside bool) error {
	n := m.size.Stored
	s, neighbour, err := m.storedCrowd(ctx, goneName, n, later)
	if err != nil {
		return err
	}
	h := s.hooks[0]
	m.waitFor(ctx, askLast, func(context.Context) (bool, error) { return h.received.Load() > 0, nil })
	defer m.beside(ctx, neighbour, beside)()
	m.progress.phase("waiting until it is deactivated")
	if err := m.closedLoop(ctx, s, 1, m.size.Watch, 1); err != nil {
		return err
	}
	_, ok := m.waitFor(ctx, askLast/2, func(ctx context.Context) (bool, error) {
		status, err := m.target.status(ctx, h)
		return status == "deactivated", err
	})
	if !ok {
		m.notef("deactivated after the 410", "≤ 1 s", "%s", m.never())
		return nil
	}
	last, _ := h.seen.nth(h.seen.count(0))
	now := time.Now()
	took := time.Duration(int64(m.ledger.stamp(now))-int64(last)) * time.Microsecond
	m.notef("deactivated after the 410", "≤ 1 s", "%s", short(took))
	m.follow(ctx, h, n, "until all is held", now.Add(-took), pending)
	return nil
}

// releaseFor is how long resume may release before the next act.
const releaseFor = 10 * time.Second

// hold performs all actions of its owner on a webhook with a million pending deliveries.
func (m *mass) hold(ctx context.Context, beside bool) error {
	n := m.size.Stored
	s, neighbour, err := m.storedCrowd(ctx, "hold", n, later)
	if err != nil {
		return err
	}
	h := s.hooks[0]
	defer m.beside(ctx, neighbour, beside)()
	path := "/v1/tenants/" + h.tenant + "/webhooks/" + h.id
	began, answered, err := m.act(ctx, "pause", http.MethodPost, path+"/pause")
	if err != nil {
		return err
	}
	m.follow(ctx, h, n, "until all is held", began, pending)
	m.late(ctx, h, "the pause", answered)

	began, _, err = m.act(ctx, "resume", http.MethodPost, path+"/resume")
	if err != nil {
		return err
	}
	sleep(ctx, releaseFor)
	still, err := m.stage.Count(ctx, h.id, "held")
	if err != nil {
		return err
	}
	m.notef("released and received since", "", "%s and %s in %.1f s", Grouped(float64(n-still)), Grouped(float64(h.received.Load())), time.Since(began).Seconds())

	if began, answered, err = m.act(ctx, "disable", http.MethodPost, path+"/disable"); err != nil {
		return err
	}
	m.follow(ctx, h, still, "until all is held for that reason", began, pending, heldByPause)
	m.late(ctx, h, "disable", answered)

	n -= int(h.received.Load())
	if began, _, err = m.act(ctx, "DELETE", http.MethodDelete, path); err != nil {
		return err
	}
	m.follow(ctx, h, n, "until all is canceled", began, pending, held)
	return nil
}

// tenant deletes a tenant with a million deliveries, and makes another with its name.
func (m *mass) tenant(ctx context.Context, beside bool) error {
	n := m.size.Stored
	s, neighbour, err := m.storedCrowd(ctx, "tenant", n, later)
	if err != nil {
		return err
	}
	h := s.hooks[0]
	defer m.beside(ctx, neighbour, beside)()
	began, _, err := m.act(ctx, "DELETE", http.MethodDelete, "/v1/tenants/"+h.tenant)
	if err != nil {
		return err
	}
	if err := m.again(ctx, s); err != nil {
		m.notef("the name is usable", "at once", "%v", err)
	}
	m.follow(ctx, h, n, "until all is gone", began)
	return nil
}

// again makes a tenant with the name of the deleted one, and has an event delivered in it.
func (m *mass) again(ctx context.Context, s *stream) error {
	began := time.Now()
	old := s.hooks[0]
	h := m.ledger.addHook(old.tenant, newPlace(), 0, 0)
	if err := m.target.putTenant(ctx, h.tenant); err != nil {
		return err
	}
	if _, err := m.target.createWebhook(ctx, h.tenant, m.sink.url(h.index), s.eventType, h.limits); err != nil {
		return err
	}
	if err := m.closedLoop(ctx, s, 1, m.size.Watch, 1); err != nil {
		return err
	}
	accepted := time.Since(began)
	took, ok := m.waitFor(ctx, askFirst, func(context.Context) (bool, error) { return h.received.Load() > 0, nil })
	if !ok {
		return fmt.Errorf("accepted after %s, received %s", short(accepted), m.never())
	}
	m.notef("the name is usable", "at once", "tenant, webhook and event accepted after %s, received after %s", short(accepted), short(accepted+took))
	return nil
}
