package workflows

import (
	"cmp"
	"slices"
)

// window is the part of the shortest wait by which others may be longer and still end with it. It takes in most of
// what the jitter of one step of a schedule spreads, and bounds how much later than promised an attempt is made.
const window = 5

// together groups deliveries whose next attempts are made together: those of one webhook whose waits end within a
// window of each other, the shortest wait first. What the webhook's own limits put off stays alone: it has a time of
// its own at the rate, or its wait differs on purpose from those it would meet at the few places in flight.
func together(left []Leftover) [][]Leftover {
	left = slices.SortedStableFunc(slices.Values(left), func(a, b Leftover) int { return cmp.Compare(a.Wait, b.Wait) })
	var groups [][]Leftover
	latest := map[string]int{} // the group that a webhook's next delivery may join
	for _, l := range left {
		if l.Reserved || l.Denied > 0 {
			groups = append(groups, []Leftover{l})
			continue
		}
		if i, ok := latest[l.Webhook]; ok && l.Wait <= groups[i][0].Wait+groups[i][0].Wait/window {
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
