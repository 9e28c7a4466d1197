//go:build linux

package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestChaosAudit_Explain(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	fault := window{about: "kill", from: began, to: began.Add(time.Second)}
	arrived := func(after time.Duration, status int, stamp string) post {
		return post{at: began.Add(after), left: began.Add(after + 10*time.Millisecond), status: status, stamp: stamp}
	}
	recorded := func(status int, stamp string) attempt {
		a := attempt{StatusCode: status, RequestHeaders: map[string]string{"Webhook-Timestamp": stamp}}
		if !a.received() {
			a.Error = "no answer"
		}
		return a
	}
	for _, tt := range []struct {
		name     string
		posts    []post
		attempts []attempt
		want     counts
	}{
		{"recorded", []post{arrived(time.Hour, 204, "1")}, []attempt{recorded(204, "1")}, counts{}},
		{"failed, then received", []post{arrived(0, 500, "1"), arrived(time.Hour, 204, "2")}, []attempt{recorded(500, "1"), recorded(204, "2")}, counts{}},
		{"in flight at the fault, and made again", []post{arrived(0, 204, "1"), arrived(time.Hour, 204, "2")}, []attempt{recorded(204, "2")},
			counts{duplicates: 1, unrecorded: 1}},
		{"answered just before the fault", []post{arrived(-time.Second, 204, "1"), arrived(time.Hour, 204, "2")}, []attempt{recorded(204, "2")},
			counts{duplicates: 1, unrecorded: 1}},
		{"answered long before the fault", []post{arrived(-time.Hour, 204, "1"), arrived(time.Hour, 204, "2")}, []attempt{recorded(204, "2")},
			counts{duplicatesUnexplained: 1, unrecordedUnexplained: 1}},
		{"begun after the fault", []post{arrived(4*time.Second, 204, "1"), arrived(time.Hour, 204, "2")}, []attempt{recorded(204, "2")},
			counts{duplicatesUnexplained: 1, unrecordedUnexplained: 1}},
		{"the answer did not come back", []post{arrived(time.Hour, 204, "1"), arrived(2*time.Hour, 204, "2")}, []attempt{recorded(0, "1"), recorded(204, "2")},
			counts{duplicates: 1}},
		{"received twice for no reason", []post{arrived(time.Hour, 204, "1"), arrived(2*time.Hour, 204, "2")}, []attempt{recorded(204, "1"), recorded(204, "2")},
			counts{duplicatesUnexplained: 1}},
		{"two in one second, one recorded", []post{arrived(time.Hour, 500, "1"), arrived(time.Hour, 204, "1")}, []attempt{recorded(204, "1")},
			counts{unrecordedUnexplained: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := audit{windows: []window{fault}}
			require.Equal(t, tt.want, a.explain(tt.posts, tt.attempts))
		})
	}
}

func TestChaosAudit_LedgerKnowsWhatIsOpen(t *testing.T) {
	t.Parallel()
	l := newLedger()
	accepted, lost, gone := pair{"e1", 0}, pair{"e2", 0}, pair{"e3", 0}
	l.ask([]pair{accepted, lost, gone})
	l.settle([]pair{accepted}, answered)
	l.settle([]pair{lost}, unknown)
	l.settle([]pair{gone}, refused)
	later := time.Now().Add(time.Second)
	require.Equal(t, 1, l.undelivered(later))
	require.Len(t, l.due(later), 2, "what may have been accepted is looked at, what was refused is not")

	a := l.arrive(accepted, "1")
	require.Len(t, l.due(later), 1, "a POST is being answered")
	l.leave(a, 204)
	require.Zero(t, l.undelivered(later))
	require.Len(t, l.due(later), 2)

	l.done(accepted, 1, counts{})
	require.Len(t, l.due(later), 1)
	l.leave(l.arrive(accepted, "2"), 204)
	require.Len(t, l.due(later), 2, "what arrives later is looked at again")

	n, m, posts := l.take()
	require.Equal(t, []int{1, 1, 2}, []int{n, m, posts})
}

func TestChaosAudit_StrayPostIsLookedAt(t *testing.T) {
	t.Parallel()
	l := newLedger()
	l.leave(l.arrive(pair{"nobody's", 0}, "1"), 204)
	require.Len(t, l.due(time.Now().Add(time.Second)), 1)
}
