package activities

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// round attempts several deliveries at once and gathers what came of them. capped leaves over what is above a
// webhook's cap; otherwise manyAtOnce bounds the round.
func (a *Deliveries) round(ctx context.Context, dispatchID string, jobs []job, capped bool) (workflows.Round, error) {
	var (
		mu      sync.Mutex
		round   workflows.Round
		since   []time.Time // when it was that they were to wait, of round.Waiting
		failure error
		over    []models.Delivery
		late    []models.Postponed
		wg      sync.WaitGroup
		room    = semaphore.NewWeighted(manyAtOnce)
	)
	slots, err := a.reserve(ctx, jobs)
	if err != nil {
		return round, err
	}
	var of *Remainder
	if capped { // they are all there is of the dispatch
		of = NewRemainder(dispatchID, len(jobs))
	}
	for i, j := range jobs {
		if !capped && room.Acquire(ctx, 1) != nil {
			break
		}
		wg.Go(func() {
			if !capped {
				defer room.Release(1)
			}
			j.of = of
			outcome, ok, err := a.inLane(ctx, j, slots[i], capped)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				failure = err
			case !ok:
				over = append(over, j.work.Delivery)
				round.OverCap = append(round.OverCap, *outcome.Left)
			case outcome.Left != nil:
				if !outcome.Left.Due.IsZero() {
					late = append(late, postponed(dispatchID, &j.work.Delivery, outcome.Left))
				}
				round.Waiting, since = append(round.Waiting, *outcome.Left), append(since, a.Now())
			default:
				tally(&round, outcome.Status)
			}
		})
	}
	wg.Wait()
	if failure == nil {
		failure = ctx.Err()
	}
	if failure != nil {
		return workflows.Round{}, failure
	}
	for i, at := range since { // the workflow begins to count when the slowest has ended
		l := &round.Waiting[i]
		l.Wait = max(0, l.Wait-a.Now().Sub(at)).Round(time.Millisecond)
	}
	slices.SortFunc(late, func(a, b models.Postponed) int { return strings.Compare(a.Delivery.ID, b.Delivery.ID) })
	if err := a.Store.Postpone(ctx, late); err != nil {
		return workflows.Round{}, err
	}
	if capped && len(round.Waiting)+len(round.OverCap) == 0 && !of.finished.Load() {
		// The last were recorded at once, in two lanes, or held or canceled.
		return round, a.Store.FinishDispatch(ctx, dispatchID)
	}
	// From now on the reconciler asks this dispatch's workflow whether it is alive, however long they wait.
	return round, a.Store.Claim(ctx, dispatchID, slices.DeleteFunc(over, func(d models.Delivery) bool { return d.DispatchID != "" }))
}

func tally(r *workflows.Round, status string) {
	switch status {
	case workflows.Delivered:
		r.Delivered++
	case workflows.Failed:
		r.Failed++
	default:
		r.Stopped++
	}
}

// job is one attempt to make.
type job struct {
	dispatchID string
	work       handoff.Work
	readAt     time.Time          // when the work was read from the database
	known      workflows.Leftover // what the workflow knows of it, nothing before the first attempt
	of         *Remainder         // of the dispatch, nil where others see to its outbox entry
	posted     func()             // called when the POST has ended, before it is recorded
}

// fresh is how old what was read may be for a POST. One that is made of a delivery that has changed since is recorded,
// and changes nothing.
const fresh = time.Second

// inLane attempts one delivery when its webhook has room for it. ok is false if it has none for now and the delivery
// is the fair lane's.
func (a *Deliveries) inLane(ctx context.Context, j job, slot time.Time, capped bool) (_ workflows.Outcome, ok bool, _ error) {
	d := &j.work.Delivery
	if j.known.Paced { // it was called for the first of several
		if wait := slot.Sub(a.Now()); wait <= aheadMost+workflows.PacedFor {
			if err := sleep(ctx, wait); err != nil {
				return workflows.Outcome{}, false, err
			}
		}
	}
	if !capped && a.Now().Sub(j.readAt) > fresh { // it has waited for its turn
		now, outcome, err := a.current(ctx, d.Tenant, d.ID, d.Generation)
		if err != nil || now == nil {
			return outcome, true, err
		}
		j.work = *now
	}
	r, outcome, err := a.receiver(ctx, d)
	if err != nil || r == nil {
		return outcome, true, err
	}
	if !j.known.Reserved && a.early(d) {
		return workflows.Outcome{Left: a.leftover(r, d, j.known.Last)}, true, nil
	}
	leave, left, err := a.enter(ctx, r, d, slot, laneWait)
	if err != nil {
		return workflows.Outcome{}, true, err
	}
	if left != nil {
		left.Last, left.Lapsed = j.known.Last, j.known.Lapsed
		return workflows.Outcome{Left: left}, true, nil
	}
	defer leave()
	if capped && r.Webhook.MaxInFlight == 0 {
		if leave, ok = a.Lanes.Enter(ctx, d.WebhookID); !ok {
			return workflows.Outcome{Left: a.leftover(r, d, "")}, false, ctx.Err()
		}
		defer leave()
	}
	j.posted = leave
	outcome, _, err = a.attempt(ctx, r, j)
	return outcome, true, err
}

// early tells whether a delivery is to wait longer: it has been attempted, recorded, and is asked for again after a
// crash. Clocks that differ a little are no reason to wait.
func (a *Deliveries) early(d *models.Delivery) bool {
	return d.NextAttemptAt != nil && d.NextAttemptAt.After(a.Now().Add(time.Second))
}
