package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/posthorn/posthorn/models"
)

// The bounds of looking for what is overdue.
const (
	// overdueAtOnce is how many deliveries are read, asked about and taken over at once.
	overdueAtOnce = 10 * models.MaxDispatch
	// sharedFrom is how many deliveries found in one look share dispatches, whatever the operator allows for those that are
	// published: after an outage a workflow for each would take hours.
	sharedFrom = 1000
	// startsAtOnce is how many dispatches are made before their starts are waited for: what waits for a start is never
	// overdue again before it has been tried.
	startsAtOnce = 64
)

var errNotStarted = errors.New("none of the dispatches was started")

// pass is one walk over what is overdue, in the order in which it fell due. It reads each page once; what it takes over
// is due anew, and so behind it.
type pass struct {
	*Reconciler
	found   int  // deliveries that nothing drove, so far
	adopted bool // the shared dispatches are noted on their deliveries
	paused  pausedCount
}

// deliveries dispatches again what is overdue and not being driven.
func (r *Reconciler) deliveries(ctx context.Context) (found bool, err error) {
	before := r.Store.Now().Add(-r.Overdue)
	p := pass{Reconciler: r}
	for after := (models.Mark{}); ; {
		page, err := r.Store.Overdue(ctx, before, after, overdueAtOnce)
		if err != nil {
			return p.found > 0, err
		}
		if !p.adopted && page.Nameless() {
			p.adopted = true
			if _, err := r.Store.Adopt(ctx); err != nil {
				return p.found > 0, err
			}
			continue // their names are known now
		}
		p.notePaused(ctx, &page)
		dead, err := r.check(ctx, page.Doubtful(before))
		if err != nil {
			return p.found > 0, err
		}
		if err := p.takeOver(ctx, page.Undriven(dead), before); err != nil {
			return p.found > 0, err
		}
		if err := r.Store.ForgetDispatches(ctx, dead); err != nil {
			return p.found > 0, err
		}
		if !page.More {
			r.Metrics.Paused.Set(float64(p.paused.n))
			return p.found > 0, nil
		}
		after = page.Next
	}
}

// check asks Temporal which of the dispatches are being driven, and returns the others.
func (r *Reconciler) check(ctx context.Context, doubtful []string) (dead []string, err error) {
	alive, err := r.Engine.Alive(ctx, doubtful)
	if err != nil {
		return nil, err
	}
	var checked []string
	for _, id := range doubtful {
		if alive[id] {
			checked = append(checked, id)
		} else {
			dead = append(dead, id)
		}
	}
	return dead, r.Store.DispatchesChecked(ctx, checked)
}

// takeOver puts deliveries into new dispatches and waits until those have been started, or given up, a few at a time.
func (p *pass) takeOver(ctx context.Context, deliveries []models.Delivery, before time.Time) error {
	p.found += len(deliveries)
	most := p.Store.GroupMax()
	if p.found > sharedFrom {
		most = models.MaxDispatch
	}
	for chunk := range slices.Chunk(deliveries, min(overdueAtOnce, startsAtOnce*most)) {
		fresh, err := p.Store.TakeOver(ctx, chunk, before, most)
		if err := errors.Join(err, p.launch(ctx, fresh)); err != nil {
			return err
		}
	}
	return nil
}

// launch starts what has been taken over. An error means that Temporal is not up to more.
func (p *pass) launch(ctx context.Context, fresh []models.Dispatch) error {
	if len(fresh) == 0 {
		return nil
	}
	n := 0
	for _, d := range fresh {
		n += len(d.Deliveries)
	}
	p.Metrics.Catches.Add(float64(n))
	started := p.Engine.LaunchWait(ctx, fresh...)
	p.Log.WarnContext(ctx, "dispatched again", "dispatches", len(fresh), "deliveries", n, "started", started, "first", fresh[0].ID)
	switch started {
	case len(fresh):
		return nil
	case 0:
		return errNotStarted
	default:
		return p.Engine.Ready(ctx)
	}
}
