//go:build linux

package chaos

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// window is the time during which a fault was active.
type window struct {
	about    string
	from, to time.Time
	lasting  bool // to will be set to the recovery
}

// recordWithin is how long after the answer to a POST its record may still be on its way. A fault in that time hits the
// record.
const recordWithin = 2 * time.Second

// inFlight reports whether a fault hit a POST between its start and the commit of its record.
func (w window) inFlight(p *post) bool {
	return !p.at.After(w.to.Add(recordWithin)) && !p.left.Add(recordWithin).Before(w.from)
}

// audit compares the ledger with /v1, as of a time.
type audit struct {
	stage   *stage
	before  time.Time
	windows []window
}

// finding is the result of an audit for one pair.
type finding struct {
	lost, stuck, stored bool
	counts
	delivery delivery
	attempts []attempt
}

func (f *finding) inOrder() bool {
	return !f.lost && !f.stuck && f.duplicatesUnexplained == 0 && f.unrecordedUnexplained == 0
}

const (
	// auditMargin is added to the time from which deliveries are listed; older ones are asked for one by one.
	auditMargin = 5 * time.Second
	auditSpan   = 2 * time.Minute
	// recordedWithin is how long records may lag behind: POSTs are recorded if the database is back within 20 s.
	recordedWithin = 25 * time.Second
	auditEvery     = time.Second
)

// run audits until everything is in order, or until the time for records is over. It adds its findings to the line.
func (a *audit) run(ctx context.Context, line *Line) error {
	deadline := time.Now().Add(recordedWithin)
	for {
		due := a.stage.ledger.due(a.before)
		found, err := a.look(ctx, due)
		last := time.Now().After(deadline)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if last {
				return fmt.Errorf("audit: %w", err)
			}
			sleep(ctx, auditEvery)
			continue
		}
		disorder := false
		for p, f := range found {
			if f.inOrder() || last {
				a.count(line, p, due[p], f)
			} else {
				disorder = true
			}
		}
		if !disorder {
			return nil
		}
		sleep(ctx, auditEvery)
	}
}

// mostHistories is the largest number of histories that are kept for one fault.
const mostHistories = 10

// count adds the new findings about a pair to the line.
func (a *audit) count(line *Line, p pair, o owed, f *finding) {
	a.stage.ledger.done(p, len(o.posts), f.counts)
	line.Duplicates += f.duplicates - o.counted.duplicates
	line.DuplicatesUnexplained += f.duplicatesUnexplained - o.counted.duplicatesUnexplained
	line.Unrecorded += f.unrecorded - o.counted.unrecorded
	line.UnrecordedUnexplained += f.unrecordedUnexplained - o.counted.unrecordedUnexplained
	if f.stored {
		line.Stored++
	}
	if f.lost {
		line.Lost++
	}
	if f.stuck {
		line.Stuck++
	}
	if !f.inOrder() && len(line.Histories) < mostHistories {
		line.Histories = append(line.Histories, a.history(p, &o, f))
	}
}

// look compares the pairs once.
func (a *audit) look(ctx context.Context, due map[pair]owed) (map[pair]*finding, error) {
	known, err := a.listed(ctx, due)
	if err != nil {
		return nil, err
	}
	found := map[pair]*finding{}
	for p, o := range due {
		d, ok := known[p]
		if !ok && (!o.accepted.IsZero() || len(o.posts) > 0) {
			if d, ok, err = a.find(ctx, p); err != nil {
				return nil, err
			}
		}
		f := &finding{delivery: d}
		found[p] = f
		switch {
		case ok:
			if err := a.compare(ctx, p, &o, f); err != nil {
				return nil, err
			}
		case !o.accepted.IsZero():
			f.lost = true // it was accepted, but /v1 does not know it
		default:
			f.unrecordedUnexplained = len(o.posts) // such POSTs have no known reason
		}
	}
	return found, nil
}

// listed lists the deliveries that were made around the time when the pairs were accepted.
func (a *audit) listed(ctx context.Context, due map[pair]owed) (map[pair]delivery, error) {
	known := map[pair]delivery{}
	if len(due) == 0 {
		return known, nil
	}
	since := a.before
	for _, o := range due {
		for _, at := range []time.Time{o.accepted, o.unknown} {
			if !at.IsZero() && at.Before(since) {
				since = at
			}
		}
	}
	if earliest := a.before.Add(-auditSpan); since.Before(earliest) {
		since = earliest
	}
	since = since.Add(-callTimeout - auditMargin)
	for _, tenant := range tenants {
		if err := a.stage.api.deliveries(ctx, tenant, url.Values{"since": {since.UTC().Format(time.RFC3339Nano)}}, func(d delivery) {
			known[pair{d.EventID, a.stage.ledger.hooks[d.WebhookID]}] = d
		}); err != nil {
			return nil, err
		}
	}
	return known, nil
}

// find asks for one delivery.
func (a *audit) find(ctx context.Context, p pair) (found delivery, ok bool, err error) {
	err = a.stage.api.deliveries(ctx, tenantOf(p), url.Values{"event_id": {p.event}}, func(d delivery) {
		if a.stage.ledger.hooks[d.WebhookID] == p.hook {
			found, ok = d, true
		}
	})
	return found, ok, err
}

func tenantOf(p pair) string { return tenants[p.hook/len(manners)] }

// compare compares a pair with its delivery, and its POSTs with the attempts on record.
func (a *audit) compare(ctx context.Context, p pair, o *owed, f *finding) error {
	f.stored = !o.unknown.IsZero()
	switch d := f.delivery; {
	case d.Status == "pending":
		f.stuck = true
	case d.Status != "delivered", !o.received:
		f.lost = true // given up, or recorded as delivered and never received
	}
	if len(o.posts) == 1 && o.received && f.delivery.Attempts == 1 && !f.lost && !f.stuck {
		return nil // one POST arrived and was received, and one POST is on record as received, so they are the same
	}
	var err error
	if f.attempts, err = a.stage.api.attempts(ctx, tenantOf(p), f.delivery.ID); err != nil {
		return err
	}
	f.counts = a.explain(o.posts, f.attempts)
	return nil
}

// explain matches POSTs with attempts, and counts the POSTs without a record and the receptions after the first. Each
// needs a reason. A POST without a record was in flight at a fault. A reception was repeated because an earlier one was
// in flight at a fault, or is on record as a failure.
func (a *audit) explain(posts []post, attempts []attempt) (c counts) {
	records := match(posts, attempts)
	repeatable, received := false, false
	for i := range posts {
		p := &posts[i]
		hit := slices.ContainsFunc(a.windows, func(w window) bool { return w.inFlight(p) })
		switch {
		case records[i] != nil:
		case hit:
			c.unrecorded++
		default:
			c.unrecordedUnexplained++
		}
		if !p.received() {
			continue
		}
		switch {
		case !received:
		case repeatable:
			c.duplicates++
		default:
			c.duplicatesUnexplained++
		}
		received = true
		repeatable = repeatable || hit || records[i] != nil && !records[i].received()
	}
	return c
}

// match finds the record of each POST, nil if there is none: both have the same webhook-timestamp.
func match(posts []post, attempts []attempt) []*attempt {
	records := make([]*attempt, len(posts))
	taken := make([]bool, len(attempts))
	for _, exact := range []bool{true, false} { // those with the same answer first
		for i := range posts {
			if records[i] != nil {
				continue
			}
			for j := range attempts {
				a := &attempts[j]
				if !taken[j] && a.stamp() == posts[i].stamp && (!exact || a.StatusCode == posts[i].status) {
					records[i], taken[j] = a, true
					break
				}
			}
		}
	}
	return records
}

func (a *attempt) stamp() string {
	for name, value := range a.RequestHeaders {
		if strings.EqualFold(name, "webhook-timestamp") {
			return value
		}
	}
	return ""
}

// history returns everything that is known about a pair.
func (a *audit) history(p pair, o *owed, f *finding) string {
	var b strings.Builder
	at := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return t.UTC().Format("15:04:05.000")
	}
	fmt.Fprintf(&b, "event %s for %s of %s: asked %s, accepted %s, unknown %s; lost %t, stuck %t\n", p.event, manners[p.hook%len(manners)], tenantOf(p),
		at(o.asked), at(o.accepted), at(o.unknown), f.lost, f.stuck)
	fmt.Fprintf(&b, "  /v1: %s %s %s, %d attempts, made %s, next attempt %s\n", cmp.Or(f.delivery.ID, "no delivery"), f.delivery.Status,
		f.delivery.StatusReason, f.delivery.Attempts, at(f.delivery.CreatedAt), at(f.delivery.NextAttemptAt))
	for i := range o.posts {
		fmt.Fprintf(&b, "  received %s, answered %s with %d, timestamp %s\n", at(o.posts[i].at), at(o.posts[i].left), o.posts[i].status, o.posts[i].stamp)
	}
	for i := range f.attempts {
		r := &f.attempts[i]
		fmt.Fprintf(&b, "  attempt %d at %s, %d ms, status %d, error %q, timestamp %s\n", r.Number, at(r.StartedAt), r.DurationMS, r.StatusCode, r.Error, r.stamp())
	}
	for _, w := range a.windows[max(0, len(a.windows)-6):] {
		fmt.Fprintf(&b, "  fault %s to %s: %s\n", at(w.from), at(w.to), w.about)
	}
	return b.String()
}

// overdue returns the histories of pairs that have not been received, the oldest first.
func (a *audit) overdue(ctx context.Context, most int) (histories []string) {
	due := a.stage.ledger.due(a.before)
	for _, p := range slices.SortedFunc(maps.Keys(due), func(x, y pair) int { return due[x].accepted.Compare(due[y].accepted) }) {
		if len(histories) >= most {
			break
		}
		o := due[p]
		if o.received || o.accepted.IsZero() {
			continue
		}
		f := &finding{}
		if d, ok, err := a.find(ctx, p); err == nil && ok {
			f.delivery = d
			f.attempts, _ = a.stage.api.attempts(ctx, tenantOf(p), d.ID) // a history without attempts is better than none
		}
		histories = append(histories, a.history(p, &o, f))
	}
	return histories
}
