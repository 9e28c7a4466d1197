package engine

import (
	"slices"

	"github.com/posthorn/posthorn/internal/handoff"
)

// line is what waits for a shared dispatch. Each webhook has a queue of its own, and they take turns: a hundred
// thousand deliveries to one are not before the next to another.
type line struct {
	queues map[string][]handoff.Work // by webhook
	turns  []string                  // webhooks with something that waits, the next first
	n      int
}

func (l *line) len() int { return l.n }

func (l *line) add(w handoff.Work) {
	webhook := w.Delivery.WebhookID
	if l.queues == nil {
		l.queues = map[string][]handoff.Work{}
	}
	if len(l.queues[webhook]) == 0 {
		l.turns = append(l.turns, webhook)
	}
	l.queues[webhook] = append(l.queues[webhook], w)
	l.n++
}

// take takes most deliveries, or all there are: an equal part from each webhook's queue, what has waited longest first.
func (l *line) take(most int) []handoff.Work {
	group := make([]handoff.Work, 0, min(most, l.n))
	for len(group) < most && len(l.turns) > 0 {
		part := max(1, (most-len(group))/len(l.turns))
		for range len(l.turns) {
			if len(group) == most {
				break
			}
			group = append(group, l.next(part)...)
		}
	}
	l.n -= len(group)
	return group
}

// next gives the webhook whose turn it is most of its deliveries.
func (l *line) next(most int) []handoff.Work {
	webhook := l.turns[0]
	l.turns = l.turns[1:]
	queue := l.queues[webhook]
	n := min(most, len(queue))
	part := slices.Clone(queue[:n])
	clear(queue[:n]) // the array may live on for long
	if n == len(queue) {
		delete(l.queues, webhook)
	} else {
		l.queues[webhook] = queue[n:]
		l.turns = append(l.turns, webhook)
	}
	return part
}
