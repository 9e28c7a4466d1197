package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/posthorn/posthorn/models"
)

const (
	// watchGap is the longest time between two looks that still count as watching.
	watchGap = 3 * time.Second
	// goneFor: deliveries of a gone process are looked for if they fall due up to so long after its end. The usual
	// round finds later ones.
	goneFor = time.Minute
)

// watch notes since when this process has watched the others without a gap. The zero value is ready.
type watch struct {
	now         func() time.Time // nil = time.Now, which clock steps do not affect
	reports     func() bool      // whether this process's own reports are in time; nil = the store says so
	since, last time.Time
}

// look notes a look at the others, and reports whether they have been watched for as long as one may be silent. Right
// after an outage of the database, or when this process was suspended, all of them seem silent, and none is gone. A
// database that can be read but not written is one that is away.
func (w *watch) look() (long bool) {
	now := time.Now()
	if w.now != nil {
		now = w.now()
	}
	if w.last.IsZero() || now.Sub(w.last) > watchGap {
		w.since = now
	}
	w.last = now
	return now.Sub(w.since) >= models.SilentFor
}

// processes declares silent processes gone, if the others have been watched for long enough. A look that was not answered
// counts only if they can be declared gone all the same.
func (r *Reconciler) processes(ctx context.Context, silent, answered bool) (found bool, err error) {
	reports := r.watch.reports
	if reports == nil {
		reports = r.Store.Reports
	}
	long := r.watch.look()
	if !reports() || !long && !answered {
		r.watch.last = time.Time{}
		return false, nil
	}
	if !long || !silent {
		return false, nil
	}
	gone, err := r.Store.DeclareGone(ctx)
	if err != nil {
		r.watch.last = time.Time{}
	}
	for _, p := range gone {
		r.Log.WarnContext(ctx, "process gone; taking over what it held", "process", p.ID, "kind", p.Kind, "host", p.Host, "seen", p.SeenAt)
	}
	return len(gone) > 0, err
}

// gone takes over the work of gone processes: the places that they had leased, the deliveries that waited in their
// memory, and the dispatches that they had not started. One worker at a time handles each process.
func (r *Reconciler) gone(ctx context.Context) (found bool, err error) {
	gone, err := r.Store.ClaimGone(ctx)
	if err != nil || len(gone) == 0 {
		return false, err
	}
	ids := make([]int64, len(gone))
	for i, p := range gone {
		ids[i] = p.ID
	}
	err = r.Store.FreeLeases(ctx, gone)
	if err == nil {
		err = r.Engine.Ready(ctx)
	}
	if err == nil {
		err = r.takeOverFrom(ctx, gone, ids)
	}
	if err != nil {
		return true, errors.Join(err, r.Store.ReleaseGone(ctx, ids))
	}
	return true, nil
}

// takeOverFrom walks over the deliveries that fell due while the processes ran, and dispatches those that they held,
// however short they have been overdue.
func (r *Reconciler) takeOverFrom(ctx context.Context, gone []models.Process, ids []int64) error {
	first := slices.MinFunc(gone, func(a, b models.Process) int { return a.StartedAt.Compare(b.StartedAt) })
	last := slices.MaxFunc(gone, func(a, b models.Process) int { return a.GoneAt.Compare(*b.GoneAt) })
	before := r.Store.Now()
	if end := last.GoneAt.Add(goneFor); end.Before(before) {
		before = end
	}
	p := pass{Reconciler: r, from: models.Mark{At: first.StartedAt.Add(-clockSlack)}, before: before, doubt: *last.GoneAt,
		of:          func(page *models.Overdue) models.Overdue { return page.HeldBy(gone) },
		claimShared: func(ctx context.Context) error { return r.Store.ClaimSharedOf(ctx, gone) },
		between:     func(ctx context.Context) error { return r.Store.KeepGone(ctx, ids) }}
	return p.walk(ctx)
}

// clockSlack is by how much a process's view of the database's clock may be wrong.
const clockSlack = 2 * time.Second
