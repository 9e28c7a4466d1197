// Package cores lets a quiet process run on one core at a time.
//
// When a goroutine becomes ready and another core is idle, Go wakes a thread there, which looks for work and sleeps again.
// At a few events a second this wakes a core a hundred times for each event, in this process and, by the answers that
// arrive apart, in the database. With GOMAXPROCS at 1 an event costs a fifth less processor time, and is delivered sooner.
//
// The package owns GOMAXPROCS. It knows nothing about events, and must not import any package of Posthorn except pause.
package cores

import (
	"context"
	"os"
	"runtime"
	"time"

	"github.com/posthorn/posthorn/internal/pause"
)

const (
	// every is the time between two looks at the load. A burst has one core until a look finds it, the second at the latest.
	every = 200 * time.Millisecond
	// starved is how late a look may be. A process that others, or its own goroutines, keep waiting for longer is not quiet,
	// however little it can use.
	starved = 20 * time.Millisecond
	// quietBelow and busyAbove are shares of one core.
	quietBelow, busyAbove = 0.45, 0.7
	// quietFor is how many looks in a row must find a quiet process before it gets one core.
	quietFor = 10
)

// Follow follows the load of the process until ctx ends: it gets one core while it is quiet, and all of its cores while it is
// not. It does nothing if the environment sets GOMAXPROCS, if there is one core only, or on a system that does not report
// processor time.
func Follow(ctx context.Context) {
	if os.Getenv("GOMAXPROCS") != "" || runtime.GOMAXPROCS(0) == 1 {
		return
	}
	used, ok := processorTime()
	if !ok {
		return
	}
	defer runtime.SetDefaultGOMAXPROCS()
	var l load
	for at := time.Now(); pause.For(ctx, every) == nil; {
		now, ok := processorTime()
		if !ok {
			return
		}
		passed := time.Since(at)
		if l.look((now-used).Seconds()/passed.Seconds(), passed > every+starved) {
			l.apply()
		}
		used, at = now, at.Add(passed)
	}
}

// load is what the looks have found. The zero value has all cores.
type load struct {
	quiet bool
	looks int // in a row that found it quiet
}

// look notes how many cores the process has used since the last look, and whether this one was late. It reports whether
// the number of cores to have changes.
func (l *load) look(used float64, late bool) (changed bool) {
	switch {
	case l.quiet && (late || used > busyAbove):
		l.quiet, l.looks = false, 0
		return true
	case l.quiet:
		return false
	case late || used > quietBelow:
		l.looks = 0
		return false
	}
	l.looks++
	l.quiet = l.looks >= quietFor
	return l.quiet
}

func (l *load) apply() {
	if l.quiet {
		runtime.GOMAXPROCS(1)
		return
	}
	runtime.SetDefaultGOMAXPROCS() // as many as the machine or its container has now
}
