package bench

import (
	"context"
	"net/http"
	"time"
)

// wide lets a tenant with very many webhooks publish, once to half of them.
func (m *mass) wide(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	n := m.size.Webhooks
	s, own, beside := m.crowd("wide", 1), m.crowd("one", 1), m.neighbour()
	s.hooks[0].seen.timed, s.hooks[0].numbered = false, true
	// both belong to one tenant
	own.hooks[0].tenant = s.hooks[0].tenant
	own.requests[0] = publish(m.target.base, m.target.key, s.hooks[0].tenant, own.eventType, 1, m.o.Payload, labels{})
	if err := m.register(ctx, s, own, beside.stream); err != nil {
		return err
	}
	m.progress.phase("storing webhooks")
	base := m.sink.url(s.hooks[0].index) + "/"
	for _, eventType := range []string{s.eventType, own.eventType + ".not"} {
		if err := m.stage.Widen(ctx, s.hooks[0].id, n/2, base, eventType); err != nil {
			return err
		}
	}
	if err := m.work(ctx); err != nil {
		return err
	}
	m.progress.phase("publishing one event to one of the webhooks")
	if err := m.closedLoop(ctx, own, 1, m.size.Watch, 1); err != nil {
		return err
	}
	took, ok := m.waitFor(ctx, askFirst, func(context.Context) (bool, error) { return own.hooks[0].received.Load() > 0, nil })
	if !ok {
		m.notef("its first event is received", "", "%s", m.never())
	} else if len(own.calls) > 0 {
		m.notef("its first event is accepted, received", "", "%s, %s", short(time.Duration(own.calls[0])*time.Microsecond), short(time.Duration(own.calls[0])*time.Microsecond+took))
	}
	m.progress.phase("publishing to one of the webhooks")
	sibling := &neighbour{m, own}
	h := sibling.publish(ctx, min(firstFor, m.size.Load))
	m.notef("its events to one webhook, 5 a second: p50 / p99", "", "%v", h.all)
	if h.err != nil {
		m.notef("it could not publish", "", "%v", h.err)
	}
	wait := beside.start(ctx)
	sleep(ctx, time.Second)
	err := m.fan(ctx, s.hooks[0], s.eventType, n/2+1)
	m.progress.phase("listening to the neighbour")
	m.heard(wait(), mustBeside)
	return err
}

// fan publishes one event to n webhooks.
func (m *mass) fan(ctx context.Context, h *hook, eventType string, n int) error {
	m.progress.phase("publishing one event to half of the webhooks")
	path := "/v1/tenants/" + h.tenant + "/events"
	in := map[string]any{"type": eventType, "data": map[string]string{"seq": "00000000"}}
	var event struct {
		ID        string
		FannedOut *bool `json:"fanned_out"`
	}
	began := time.Now()
	if err := m.target.do(ctx, http.MethodPost, path, in, &event); err != nil {
		m.notef("one event to "+Grouped(float64(n))+" webhooks is accepted", "≤ 3 s", "%v after %s", err, short(time.Since(began)))
		return ctx.Err()
	}
	accepted := time.Now()
	m.notef("one event to "+Grouped(float64(n))+" webhooks is accepted", "≤ 3 s", "%s", short(accepted.Sub(began)))
	fanned := m.never()
	if _, ok := m.waitFor(ctx, askLast, func(ctx context.Context) (bool, error) {
		err := m.target.do(ctx, http.MethodGet, path+"/"+event.ID, nil, &event)
		return event.FannedOut == nil || *event.FannedOut, err
	}); ok {
		if fanned = short(time.Since(began)); event.FannedOut == nil {
			fanned = "the event does not say"
		}
	}
	m.notef("until fanned_out", "", "%s", fanned)
	if _, ok := m.waitFor(ctx, askLast, func(context.Context) (bool, error) { return h.received.Load() >= int64(n), nil }); ok {
		m.notef("until all were received", "", "%s", perSecond(n, time.Since(began)))
	} else {
		m.notef("until all were received", "", "%s; %s were", m.never(), Grouped(float64(h.received.Load())))
	}
	m.notef("received twice", "0", "%d", h.duplicates.Load())
	return nil
}
