package chaos

import (
	"fmt"
	"strings"
	"time"
)

// Line is the result of one fault. The state file has one line for each.
type Line struct {
	Number int       `json:"number"`
	Seed   uint64    `json:"seed"`
	Kind   string    `json:"kind"`
	About  string    `json:"about"` // which parts, and for how long
	Begun  time.Time `json:"begun"`
	// Lasted is how long the fault was active, in seconds.
	Lasted float64 `json:"lasted"`
	// Recovery is the time from the fault's end (for a kill, from the kill) until everything accepted was delivered,
	// and an event published through each API arrived within a second. In seconds; negative if this did not happen.
	Recovery float64 `json:"recovery"`
	// Waited says what a long recovery was waiting for.
	Waited string `json:"waited,omitempty"`

	Accepted int `json:"accepted"` // pairs of event and webhook
	Unknown  int `json:"unknown"`  // pairs of calls without a clear answer
	Stored   int `json:"stored"`   // of these, the ones that were accepted after all
	Posts    int `json:"posts"`

	Lost                  int `json:"lost"`
	Stuck                 int `json:"stuck"`
	Duplicates            int `json:"duplicates"` // explained
	DuplicatesUnexplained int `json:"duplicates_unexplained"`
	Unrecorded            int `json:"unrecorded"` // explained
	UnrecordedUnexplained int `json:"unrecorded_unexplained"`

	// Problem is any other problem; "" = none.
	Problem string `json:"problem,omitempty"`
	// Histories are the histories of pairs that broke a promise.
	Histories []string `json:"histories,omitempty"`
	// Disk says how the disk was made full.
	Disk string `json:"disk,omitempty"`
}

// RecoverWithin is the promised recovery after a kill of one process of Posthorn.
const RecoverWithin = 10 * time.Second

// kept reports whether every promise was kept. within is the longest allowed recovery after a kill of one process of
// Posthorn; 0 = no limit.
func (l *Line) kept(within time.Duration) bool {
	late := within > 0 && (l.Kind == killKind+apiRole || l.Kind == killKind+workerRole) && l.Recovery > within.Seconds()
	return l.Lost == 0 && l.Stuck == 0 && l.DuplicatesUnexplained == 0 && l.UnrecordedUnexplained == 0 && l.Problem == "" && !late
}

// Names of kinds of faults that matter beyond the report.
const (
	killKind    = "kill "
	clockKind   = "clock step "
	setBackKind = "temporal set back"
)

// The roles of Posthorn's processes.
const (
	apiRole    = "api"
	workerRole = "worker"
)

// String returns the line for people.
func (l *Line) String() string {
	text := fmt.Sprintf("#%d %s: recovered in %.1f s; %d accepted, %d unknown, %d POSTs; lost %d, stuck %d; repeated %d (+%d unexplained), unrecorded %d (+%d unexplained)",
		l.Number+1, l.About, l.Recovery, l.Accepted, l.Unknown, l.Posts, l.Lost, l.Stuck,
		l.Duplicates, l.DuplicatesUnexplained, l.Unrecorded, l.UnrecordedUnexplained)
	if l.Waited != "" {
		text += "\n  waited: " + strings.ReplaceAll(strings.TrimSpace(l.Waited), "\n", "\n  ")
	}
	if l.Problem != "" {
		text += "\n  problem: " + strings.TrimSpace(l.Problem)
	}
	var histories strings.Builder
	for _, h := range l.Histories {
		histories.WriteString("\n  " + strings.ReplaceAll(strings.TrimSpace(h), "\n", "\n  "))
	}
	return text + histories.String()
}
