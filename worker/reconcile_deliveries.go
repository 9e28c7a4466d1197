package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/models"
)

// The bounds of the search for overdue deliveries.
const (
	// overdueAtOnce is how many deliveries are read, checked and taken over at once.
	overdueAtOnce = 10 * models.MaxDispatch
	// sharedFrom is the number of deliveries in one round from which they share dispatches, whatever
	// POSTHORN_GROUP_MAX says: after an outage a workflow for each would take hours.
	sharedFrom = 1000
	// startsAtOnce is how many dispatches are written before their starts are awaited. So a queued dispatch is never
	// overdue again before its start has been tried.
	startsAtOnce = 64
	// aside is the pause after each of these while another tenant has traffic. It leaves about 3,000 deliveries a second.
	aside = 300 * time.Millisecond
)

var errNotStarted = errors.New("none of the dispatches was started")

// pass is one walk over the overdue deliveries, in the order in which they fell due. It reads each page once: the
// deliveries that it takes over fall due again behind it.
type pass struct {
	*Reconciler
	// from is the start of the walk. until is the time before which its deliveries fell due.
	from   models.Mark
	before time.Time
	// doubt: a dispatch is checked unless it was known to be driven at or after this time.
	doubt time.Time
	// of selects the part of a page that the walk covers; nil = all of it.
	of func(page *models.Overdue) models.Overdue
	// claimShared notes the shared dispatches on their deliveries.
	claimShared func(context.Context) error
	// note is called with each page; nil = not needed.
	note func(ctx context.Context, page *models.Overdue)
	// between is called before a further page is read; nil = not needed.
	between func(context.Context) error

	found int // deliveries that nothing drove, so far
}

// deliveries dispatches overdue deliveries that nothing drives.
func (r *Reconciler) deliveries(ctx context.Context) (found bool, err error) {
	before := r.Store.Now().Add(-r.Overdue)
	paused := pausedCount{Reconciler: r}
	p := pass{Reconciler: r, before: before, doubt: before,
		note: paused.note,
		claimShared: func(ctx context.Context) error {
			_, err := r.Store.ClaimShared(ctx)
			return err
		}}
	if err := p.walk(ctx); err != nil {
		return p.found > 0, err
	}
	r.Metrics.Paused.Set(float64(paused.n))
	return p.found > 0, nil
}

// walk makes the pass.
func (p *pass) walk(ctx context.Context) error {
	claimed := false
	for after := p.from; ; {
		page, err := p.Store.Overdue(ctx, p.before, after, overdueAtOnce)
		if err != nil {
			return err
		}
		if p.of != nil {
			page = p.of(&page)
		}
		if !claimed && page.Nameless() {
			claimed = true
			if err := p.claimShared(ctx); err != nil {
				return err
			}
			continue // the dispatches' names are known now
		}
		if p.note != nil {
			p.note(ctx, &page)
		}
		dead, err := p.check(ctx, page.Doubtful(p.doubt))
		if err != nil {
			return err
		}
		if err := p.takeOver(ctx, page.Undriven(dead)); err != nil {
			return err
		}
		if err := p.Store.ForgetDispatches(ctx, dead); err != nil || !page.More {
			return err
		}
		if p.between != nil {
			if err := p.between(ctx); err != nil {
				return err
			}
		}
		after = page.Next
	}
}

// check asks Temporal which of the dispatches are driven, and returns the others.
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

// takeOver puts deliveries into new dispatches and waits until those have been started or given up, a few at a time.
func (p *pass) takeOver(ctx context.Context, deliveries []models.Delivery) error {
	p.found += len(deliveries)
	most := p.Store.GroupMax()
	if p.found > sharedFrom {
		most = models.MaxDispatch
	}
	for chunk := range slices.Chunk(deliveries, min(overdueAtOnce, startsAtOnce*most)) {
		fresh, err := p.Store.TakeOver(ctx, chunk, p.before, most)
		if err != nil {
			p.Store.LetGo() // the commit may have succeeded: then this process has dispatches that it does not know of
		}
		if err := errors.Join(err, p.launch(ctx, fresh)); err != nil {
			return err
		}
		if err := p.stepAside(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

// stepAside pauses after one tenant's deliveries while another tenant has traffic.
func (p *pass) stepAside(ctx context.Context, taken []models.Delivery) error {
	tenant := taken[0].Tenant
	several := slices.ContainsFunc(taken, func(d models.Delivery) bool { return d.Tenant != tenant })
	if p.Others == nil || several || !p.Others(tenant) {
		return nil
	}
	return pause.For(ctx, aside)
}

// launch starts the dispatches of a takeover. An error means that Temporal cannot take more.
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
