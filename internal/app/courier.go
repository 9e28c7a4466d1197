package app

import (
	"runtime"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/slots"
)

// loadsPerCore is how many dispatches are read from the database at once: a queued one uses no connection.
const loadsPerCore = 2

// loadsKept is the share of them that is reserved for tenants that have none.
const (
	loadsKept      = 0.25
	loadsPerTenant = 0.5 // while others wait
)

// slowestPart: a direct first attempt may take at most a quarter of the time after which a delivery is overdue. The
// wait for room, the POST and its record then end in time.
const slowestPart = 4

// courier returns the Courier of this process.
func (a *App) courier() *delivery.Courier {
	return &delivery.Courier{
		Service:  a.hooks,
		Store:    a.store,
		Desk:     a.desk,
		Recorder: delivery.NewRecorder(a.store, a.Log),
		Cap:      delivery.NewCap(),
		Limits:   a.limits,
		Loads:    slots.New(slots.Options{Capacity: max(4, loadsPerCore*runtime.GOMAXPROCS(0)), Reserve: loadsKept, MaxPerTenant: loadsPerTenant}),
		Posts:    a.posts,
		Breaker:  a.breaker,
		Slowest:  a.Config.Reconcile.After / slowestPart,
		Failed:   a.engine.Failed,
		Owns:     a.store.Owns,
		Metrics:  a.metrics,
		Log:      a.Log,
		Now:      a.store.Clock,
	}
}
