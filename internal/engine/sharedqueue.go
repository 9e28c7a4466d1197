package engine

import (
	"container/list"

	"github.com/posthorn/posthorn/internal/fairqueue"
	"github.com/posthorn/posthorn/internal/handoff"
)

// line is the queue for shared dispatches. Tenants take turns, and within a tenant its webhooks do: a hundred thousand
// deliveries to one webhook do not go before the next delivery to another. A tenant with more deliveries waiting than
// a dispatch takes is a crowd. It gets its own dispatches, without deliveries of other tenants.
type sharedQueue struct {
	tenants map[string]*list.Element // of turns
	turns   list.List                // *queue values, the next first
	n       int
	alone   bool // the last dispatch was a crowd's own
}

// queue holds the waiting deliveries of one tenant.
type queue struct {
	tenant string
	work   fairqueue.Queue[string, handoff.Work] // by webhook
}

func (s *sharedQueue) len() int { return s.n }

// of returns how many deliveries of a tenant are waiting.
func (s *sharedQueue) of(tenant string) int {
	if e := s.tenants[tenant]; e != nil {
		return e.Value.(*queue).work.Len()
	}
	return 0
}

func (s *sharedQueue) add(w handoff.Work) {
	tenant := w.Delivery.Tenant
	if s.tenants == nil {
		s.tenants = map[string]*list.Element{}
	}
	e := s.tenants[tenant]
	if e == nil {
		e = s.turns.PushBack(&queue{tenant: tenant})
		s.tenants[tenant] = e
	}
	e.Value.(*queue).work.Push(w.Delivery.WebhookID, w)
	s.n++
}

// take takes up to most deliveries of the tenants for which may returns true; nil = all. Crowds and the others take
// turns.
func (s *sharedQueue) take(most int, may func(tenant string) bool) []handoff.Work {
	crowd, rest := s.next(most, may)
	if crowd != nil && (len(rest) == 0 || !s.alone) {
		s.alone, rest = true, []*list.Element{crowd}
	} else {
		s.alone = false
	}
	group := make([]handoff.Work, 0, min(most, s.n))
	for len(group) < most && len(rest) > 0 {
		part := max(1, (most-len(group))/len(rest))
		left := rest[:0]
		for _, e := range rest {
			if len(group) == most {
				break
			}
			q := e.Value.(*queue)
			group = q.take(group, min(part, most-len(group)))
			if q.work.Len() > 0 {
				left = append(left, e)
				s.turns.MoveToBack(e)
			} else {
				s.turns.Remove(e)
				delete(s.tenants, q.tenant)
			}
		}
		rest = left
	}
	s.n -= len(group)
	return group
}

// next returns the crowd whose turn it is, and as many of the other tenants as can have a delivery in one dispatch.
func (s *sharedQueue) next(most int, may func(tenant string) bool) (crowd *list.Element, rest []*list.Element) {
	for e := s.turns.Front(); e != nil && len(rest) < most; e = e.Next() {
		q := e.Value.(*queue)
		switch {
		case may != nil && !may(q.tenant):
		case q.work.Len() < most:
			rest = append(rest, e)
		case crowd == nil:
			crowd = e
		}
	}
	return crowd, rest
}

// take adds up to most of the tenant's deliveries to a group: an equal share of each webhook's, the longest waiting
// first.
func (q *queue) take(group []handoff.Work, most int) []handoff.Work {
	end := len(group) + most
	for len(group) < end && q.work.Len() > 0 {
		part := max(1, (end-len(group))/q.work.Keys())
		for range min(q.work.Keys(), end-len(group)) {
			group = q.work.PopMany(group, min(part, end-len(group)))
		}
	}
	return group
}
