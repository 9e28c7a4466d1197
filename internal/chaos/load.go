//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// tenants each have one webhook of each manner. A webhook subscribes to its own event type, and to the type for all.
var tenants = []string{"chaos-1", "chaos-2"}

const typeForAll = "chaos.all"

func typeOf(m manner) string { return "chaos." + string(m) }

// hookNumber returns the number of the receiver of a tenant's webhook.
func hookNumber(tenant, m int) int { return tenant*len(manners) + m }

// populate makes the tenants with their webhooks and event types.
func (s *stage) populate(ctx context.Context) error {
	network, err := s.link(ctx, workerRole, receiverName, s.receivers.addr)
	if err != nil {
		return err
	}
	put := func(method, path string, in, out any) error {
		_, err := s.api.call(ctx, s.api.pick(), method, path, "", in, out)
		return err
	}
	types := []string{typeForAll}
	for _, m := range manners {
		types = append(types, typeOf(m))
	}
	for _, name := range types {
		if err := put(http.MethodPut, "/v1/event-types/"+name, map[string]any{"description": "made by posthorn chaos"}, nil); err != nil {
			return err
		}
	}
	s.ledger.hooks = map[string]int{}
	for t, tenant := range tenants {
		if err := put(http.MethodPut, "/v1/tenants/"+tenant, map[string]any{"name": tenant}, nil); err != nil {
			return err
		}
		for i, m := range manners {
			var made struct {
				ID string `json:"id"`
			}
			number := hookNumber(t, i)
			if err := put(http.MethodPost, "/v1/tenants/"+tenant+"/webhooks", map[string]any{
				"url": fmt.Sprintf("http://%s%s%d", network, hookPath, number), "event_types": []string{typeOf(m), typeForAll}, "name": m,
				"timeout": "5s", "retry": map[string]any{"initial": "1s", "backoff": 1, "max_interval": "1s", "max": 100},
			}, &made); err != nil {
				return err
			}
			s.ledger.hooks[made.ID] = number
		}
	}
	return nil
}

// load publishes at a steady rate, whether or not earlier calls have been answered.
type load struct {
	stage *stage
	rate  float64
	stop  context.CancelFunc
	calls sync.WaitGroup
	slots chan struct{}
	made  int // events
	rng   *rand.Rand

	mu  sync.Mutex
	err error // an answer that shows a mistake in the load itself
}

const (
	// callsAtOnce limits the calls that wait for a process that does not answer.
	callsAtOnce = 256
	// batchEvery: one in so many calls publishes a batch, whose events share a workflow.
	batchEvery, batchEvents = 40, 12
	// tries is how often a publisher makes a call with the same key while its outcome is unknown.
	tries    = 3
	tryAgain = 300 * time.Millisecond
)

// startLoad begins to publish.
func startLoad(ctx context.Context, s *stage, rate float64, seed uint64) *load {
	l := &load{stage: s, rate: rate, slots: make(chan struct{}, callsAtOnce), rng: rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // Repeatable on purpose.
	ctx, l.stop = context.WithCancel(ctx)
	l.calls.Go(func() {
		ticker := time.NewTicker(time.Duration(float64(time.Second) / rate))
		defer ticker.Stop()
		for n := 1; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			tenant, events, pairs := l.next(n)
			select {
			case l.slots <- struct{}{}:
				l.calls.Go(func() { // calls that have begun are finished
					l.publish(context.WithoutCancel(ctx), tenant, events, pairs)
					<-l.slots
				})
			default: // no answers come: a publisher does not make more calls than that
			}
		}
	})
	return l
}

// end stops publishing and waits for the calls.
func (l *load) end() {
	l.stop()
	l.calls.Wait()
}

// failure returns the mistake in the load itself.
func (l *load) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

type event struct {
	ID   string         `json:"id"`
	Type string         `json:"type"`
	Data map[string]any `json:"data"`
}

// shares of the types, in tenths: the last is the type for all.
var shares = []int{4, 1, 1, 2, 2}

// next makes the events of call number n.
func (l *load) next(n int) (tenant string, events []event, pairs []pair) {
	t := l.rng.IntN(len(tenants))
	count := 1
	if n%batchEvery == 0 {
		count = batchEvents
	}
	for range count {
		l.made++
		e := event{ID: fmt.Sprintf("e%d", l.made), Data: map[string]any{"order": l.made, "note": "a steady load while things break"}}
		kind, dice := 0, l.rng.IntN(10)
		for dice >= shares[kind] {
			dice -= shares[kind]
			kind++
		}
		if kind < len(manners) {
			e.Type = typeOf(manners[kind])
			pairs = append(pairs, pair{e.ID, hookNumber(t, kind)})
		} else {
			e.Type = typeForAll
			for m := range manners {
				pairs = append(pairs, pair{e.ID, hookNumber(t, m)})
			}
		}
		events = append(events, e)
	}
	return tenants[t], events, pairs
}

// publish makes a call. While the outcome is unknown, it repeats the call with the same key, as the API's contract
// says.
func (l *load) publish(ctx context.Context, tenant string, events []event, pairs []pair) {
	l.stage.ledger.ask(pairs)
	result := refused
	for try := range tries {
		if try > 0 {
			sleep(ctx, tryAgain)
		}
		o, err := l.stage.post(ctx, l.stage.api.pick(), tenant, events)
		if o == answered {
			result = answered
			if err != nil {
				l.fail(err)
				result = unknown
			}
			break
		}
		if o == unknown {
			result = unknown
		}
	}
	l.stage.ledger.settle(pairs, result)
}

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = errors.Join(errors.New("a publish call was refused"), err)
}

// post publishes one event, or several as a batch.
func (s *stage) post(ctx context.Context, api, tenant string, events []event) (outcome, error) {
	path, key := "/v1/tenants/"+tenant+"/events", "key-"+events[0].ID
	var in any = events[0]
	if len(events) > 1 {
		path += "/batch"
		in = map[string]any{"events": events}
	}
	return s.api.call(ctx, api, http.MethodPost, path, key, in, nil)
}

const (
	// freshWithin is how soon a probe must arrive after the recovery.
	freshWithin = time.Second
	freshLook   = 10 * time.Millisecond
)

// probe publishes one event through each API and waits for it.
func (s *stage) probe(ctx context.Context, name string) error {
	for i, api := range s.api.apis {
		e := event{ID: fmt.Sprintf("probe-%s-%d", name, i), Type: typeOf(succeeds), Data: map[string]any{"probe": true}}
		p := []pair{{e.ID, hookNumber(0, 0)}}
		s.ledger.ask(p)
		began := time.Now()
		within, cancel := context.WithTimeout(ctx, freshWithin)
		result, err := s.post(within, api, tenants[0], []event{e})
		cancel()
		s.ledger.settle(p, result)
		if err != nil {
			return err
		}
		for !s.ledger.has(p[0]) {
			if time.Since(began) > freshWithin {
				return errors.New("a probe did not arrive in time")
			}
			if !sleep(ctx, freshLook) {
				return ctx.Err()
			}
		}
	}
	return nil
}
