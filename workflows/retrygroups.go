package workflows

import (
	"cmp"
	"slices"
	"time"
)

// window returns by how much a wait may exceed the shortest wait and still end with it. It covers most of the jitter
// in one step of a schedule, and bounds how much later than promised an attempt is made. To the reconciler and in the
// metrics, a delivery that is overdue by a minute looks as if nothing drove it.
func window(shortest time.Duration) time.Duration { return min(shortest/4, 30*time.Second) }

// Deliveries with times at a webhook's rate share one activity, which starts at the first time. Each still waits for its
// own. PacedFor bounds that wait, PacedMost their number.
const (
	PacedFor  = time.Second
	PacedMost = 16
)

// retryGroups groups deliveries of one webhook whose next attempts are made together: their waits end within a window of
// each other, or their times at its rate are close. The shortest wait comes first. A delivery that found no place in
// flight stays alone: its wait differs from the others' on purpose.
func retryGroups(left []Leftover) [][]Leftover {
	left = slices.SortedStableFunc(slices.Values(left), func(a, b Leftover) int { return cmp.Compare(a.Wait, b.Wait) })
	var groups [][]Leftover
	type key struct {
		webhook string
		kind    Kind
	}
	latest := map[key]int{} // the group that a webhook's next delivery may join
	for _, l := range left {
		of := key{l.Webhook, l.Kind}
		i, ok := latest[of]
		switch {
		case l.Kind == ForSlot:
			groups = append(groups, []Leftover{l})
		case ok && l.joins(groups[i]):
			groups[i] = append(groups[i], l)
		default:
			latest[of] = len(groups)
			groups = append(groups, []Leftover{l})
		}
	}
	return groups
}

// joins reports whether a delivery is attempted with a group whose waits are no longer than its own.
func (l *Leftover) joins(group []Leftover) bool {
	shortest := group[0].Wait
	if l.Kind == AtRate {
		return len(group) < PacedMost && l.Wait <= shortest+PacedFor
	}
	return l.Wait <= shortest+window(shortest)
}

// alone puts each delivery in a group by itself.
func alone(left []Leftover) [][]Leftover {
	groups := make([][]Leftover, len(left))
	for i, l := range left {
		groups[i] = []Leftover{l}
	}
	return groups
}
