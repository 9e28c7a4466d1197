package workflows

import (
	"cmp"
	"slices"
	"time"
)

// window is how much longer than the shortest wait another may be and still end with it. It takes in most of what the
// jitter spreads in one step of a schedule, and bounds how much later than promised an attempt is made: what is overdue
// by a minute looks to the reconciler, and to whoever watches the metrics, as if nobody drove it.
func window(shortest time.Duration) time.Duration { return min(shortest/4, 30*time.Second) }

// together groups deliveries whose next attempts are made together: those of one webhook whose waits end within a
// window of each other, the shortest wait first. What the webhook's own limits put off stays alone: it has a time of
// its own at the rate, or its wait differs on purpose from those it would meet at the few places in flight.
func together(left []Leftover) [][]Leftover {
	left = slices.SortedStableFunc(slices.Values(left), func(a, b Leftover) int { return cmp.Compare(a.Wait, b.Wait) })
	var groups [][]Leftover
	latest := map[string]int{} // the group that a webhook's next delivery may join
	for _, l := range left {
		if !l.Due.IsZero() {
			groups = append(groups, []Leftover{l})
			continue
		}
		if i, ok := latest[l.Webhook]; ok && l.Wait <= groups[i][0].Wait+window(groups[i][0].Wait) {
			groups[i] = append(groups[i], l)
			continue
		}
		latest[l.Webhook] = len(groups)
		groups = append(groups, []Leftover{l})
	}
	return groups
}

// alone makes a group of each.
func alone(left []Leftover) [][]Leftover {
	groups := make([][]Leftover, len(left))
	for i, l := range left {
		groups[i] = []Leftover{l}
	}
	return groups
}
