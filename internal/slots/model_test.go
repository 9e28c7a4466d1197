package slots

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// model applies the rules one after another to a plain list.
type model struct {
	capacity, reserve, perTenant, perHost int
	used                                  int
	tenants, hosts                        map[string]int
	queue                                 []int // ids of calls, in the order of arrival
	calls                                 map[int]modelCall
}

type modelCall struct{ tenant, host string }

func (m *model) grant() (granted []int) {
	for {
		best := -1
		waiting := map[string]bool{}
		for _, id := range m.queue {
			waiting[m.calls[id].tenant] = true
		}
		for i, id := range m.queue {
			c := m.calls[id]
			held := m.tenants[c.tenant]
			ok := m.used < m.capacity && (held == 0 || m.used < m.capacity-m.reserve) &&
				(held < m.perTenant || len(waiting) == 1) && (c.host == "" || m.hosts[c.host] < m.perHost)
			if ok && (best < 0 || held < m.tenants[m.calls[m.queue[best]].tenant]) {
				best = i
			}
		}
		if best < 0 {
			return granted
		}
		id := m.queue[best]
		m.queue = append(m.queue[:best:best], m.queue[best+1:]...)
		c := m.calls[id]
		m.used++
		m.tenants[c.tenant]++
		m.hosts[c.host]++
		granted = append(granted, id)
	}
}

type call struct {
	id int
	t  *tenant
	h  *host
	w  *waiter
}

// For any order of requests, returns and cancellations, each slot goes where the plain rules send it.
func TestSlots_FollowTheRules(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 8))
			o := Options{Capacity: 1 + r.IntN(40), Reserve: float64(r.IntN(3)) / 4, MaxPerTenant: float64(r.IntN(4)) / 4, MaxPerHost: float64(r.IntN(4)) / 5}
			walk(t, r, o, 3000)
		})
	}
}

func walk(t *testing.T, r *rand.Rand, o Options, steps int) {
	t.Helper()
	s := New(o)
	m := &model{capacity: s.capacity, reserve: s.reserve, perTenant: s.perTenant, perHost: s.perHost,
		tenants: map[string]int{}, hosts: map[string]int{}, calls: map[int]modelCall{}}
	held, queued := map[int]call{}, map[int]call{}
	settle := func() {
		granted := m.grant()
		for _, id := range granted {
			c := queued[id]
			require.True(t, c.w == nil || c.w.done, "call %d of %s has a slot", id, m.calls[id].tenant)
			held[id] = c
			delete(queued, id)
		}
		for id, c := range queued {
			require.False(t, c.w == nil || c.w.done, "call %d of %s waits", id, m.calls[id].tenant)
		}
		require.Equal(t, Usage{s.capacity, len(held), len(queued)}, s.Usage())
		require.LessOrEqual(t, len(held), s.capacity)
	}
	tenants, hosts := 1+r.IntN(6), 1+r.IntN(8)
	for id := range steps {
		switch dice := r.IntN(100); {
		case dice < 40 && len(queued) < 60:
			tenant, host := fmt.Sprint("t", r.IntN(tenants)), fmt.Sprint("h", r.IntN(hosts))
			if r.IntN(10) == 0 {
				host = ""
			}
			c := call{id: id}
			c.t, c.h, c.w = s.enter(tenant, host)
			m.calls[id] = modelCall{tenant, host}
			m.queue = append(m.queue, id)
			queued[id] = c
		case dice < 85:
			for id, c := range held {
				m.used--
				m.tenants[m.calls[id].tenant]--
				m.hosts[m.calls[id].host]--
				delete(held, id)
				release := s.release(c.t, c.h)
				release()
				release()
				break
			}
		default:
			for id, c := range queued {
				for i, other := range m.queue {
					if other == id {
						m.queue = append(m.queue[:i:i], m.queue[i+1:]...)
						break
					}
				}
				delete(queued, id)
				s.leave(c.w)
				break
			}
		}
		settle()
	}
	for len(held)+len(queued) > 0 { // no waiter starves: as slots come back, each waiter gets one
		require.NotEmpty(t, held, "callers wait and no slot is held")
		for id, c := range held {
			m.used--
			m.tenants[m.calls[id].tenant]--
			m.hosts[m.calls[id].host]--
			delete(held, id)
			s.release(c.t, c.h)()
			settle()
		}
	}
	requireEmpty(t, s)
}

// requireEmpty checks that nothing remains of ended calls.
func requireEmpty(t *testing.T, s *Slots) {
	t.Helper()
	require.Empty(t, s.tenants)
	require.Empty(t, s.hosts)
	require.True(t, s.ready.empty())
	require.Empty(t, s.tight)
	require.Zero(t, s.used)
	require.Zero(t, s.waiting)
	require.Zero(t, s.waitingTenants)
}
