package delivery

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/posthorn/posthorn/internal/groupcommit"
	"github.com/posthorn/posthorn/internal/panics"
	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/models"
)

// Attempts stores attempts; *models.Store does. An error for which models.IsOutage is true may not come again.
type Attempts interface {
	Record(ctx context.Context, group []*models.Record, done []string) ([]models.Recorded, error)
}

// Recorder stores attempts: those that end at the same time share a transaction.
type Recorder struct {
	attempts Attempts
	log      *slog.Logger
	group    *groupcommit.Group[entry, recorded]
}

// Remainder counts a dispatch's deliveries whose end is not committed yet. The outbox row may be deleted only when it
// reaches zero: after a crash the row is how unrecorded work is found.
type Remainder struct {
	dispatchID string
	left       atomic.Int64
	finished   atomic.Bool // the row was deleted with the last record
}

// NewRemainder returns the Remainder of a dispatch of which n deliveries are left.
func NewRemainder(dispatchID string, n int) *Remainder {
	r := &Remainder{dispatchID: dispatchID}
	r.left.Store(int64(n))
	return r
}

// entry is one attempt, with the remainder that it is subtracted from; nil if it does not end the delivery.
type entry struct {
	record *models.Record
	of     *Remainder
}

// recorded is the result of one entry.
type recorded struct {
	models.Recorded
	err error
}

// errRecorded means that the database had committed an attempt but could not confirm it before it went away. The
// delivery's state is in the database.
var errRecorded = errors.New("the attempt has been recorded already")

// recordsAtOnce is the largest number of records in one transaction: all of them wait for it.
const recordsAtOnce = 512

// flushFrom is the number of queued records from which a second transaction starts next to the running one.
const flushFrom = 128

// recordEvery is the shortest time between two transactions. The POST has been made and its place is free, so nobody waits
// for the record. A crowd of 16 publishers takes a seventh less CPU for an event with it.
const recordEvery = 10 * time.Millisecond

// NewRecorder returns a Recorder.
func NewRecorder(attempts Attempts, log *slog.Logger) *Recorder {
	return newRecorder(attempts, log, flushFrom)
}

func newRecorder(attempts Attempts, log *slog.Logger, flushFrom int) *Recorder {
	r := &Recorder{attempts: attempts, log: log}
	// As many records as there are deliveries in flight may queue. The worker's slots bound them, and all of them have
	// been sent already, so none may be refused.
	r.group = groupcommit.New(r.flush, groupcommit.Options[entry]{Every: recordEvery, Flushes: 2, FlushFrom: flushFrom, MaxGroup: recordsAtOnce, MaxQueue: 1 << 20,
		Key: func(e entry) string { return e.record.Attempt.Tenant }})
	return r
}

// Record returns when the attempt is durable. If it is its delivery's last, it is subtracted from the dispatch's
// remainder. of is nil if the caller removes the outbox row itself.
//
// If another transaction has locked the delivery's row, or its webhook's, only this record waits. The others of its
// group are done.
func (r *Recorder) Record(ctx context.Context, record *models.Record, of *Remainder) (models.Recorded, error) {
	if record.Status == models.Pending {
		of = nil
	}
	started := time.Now()
	for wait := lockedFirst; ; wait = min(2*wait, lockedMost) {
		result, err := r.group.Do(ctx, entry{record, of})
		if err := cmp.Or(err, result.err); err != nil || !result.Locked {
			return result.Recorded, err
		}
		record.Cautious = true // its next group does not wait for these rows
		if time.Since(started)+wait > patience {
			return models.Recorded{}, errLocked
		}
		if err := pause.For(ctx, wait); err != nil {
			return models.Recorded{}, err
		}
	}
}

// lockedFirst and lockedMost are the waits of a record whose rows another transaction has locked.
const (
	lockedFirst = 100 * time.Millisecond
	lockedMost  = time.Second
)

// errLocked means that another transaction keeps a delivery's row locked for longer than a record may wait.
var errLocked = errors.New("the delivery's row is locked")

// patience is how long a record is retried while the database is away. It ends before the activity's time does: giving
// up means another POST.
const patience = 20 * time.Second

// tryFor is how much of patience a single try may take. Over a half-open connection one try would take all of it; the
// next try reaches the database that has taken over.
const tryFor = 10 * time.Second

func (r *Recorder) flush(ctx context.Context, entries []entry) (_ []recorded, err error) {
	defer panics.Into(&err, "the recording of attempts")
	records := make([]*models.Record, len(entries))
	for i, e := range entries {
		records[i] = e.record
	}
	stored, err := r.store(ctx, entries, records...)
	if err == nil {
		results := make([]recorded, len(entries))
		for i := range stored {
			results[i].Recorded = stored[i]
		}
		return results, nil
	}
	if models.IsOutage(err) {
		return nil, err
	}
	return r.oneByOne(ctx, entries)
}

// store stores the records of entries, and removes the dispatches that are then done. A delivery that another flush has
// not stored yet counts as left, even if it is stored a moment later.
func (r *Recorder) store(ctx context.Context, entries []entry, records ...*models.Record) ([]models.Recorded, error) {
	ends := map[*Remainder]int64{}
	var last []*Remainder
	var done []string
	for _, e := range entries {
		if e.of == nil {
			continue
		}
		if ends[e.of]++; ends[e.of] == e.of.left.Load() {
			last, done = append(last, e.of), append(done, e.of.dispatchID)
		}
	}
	stored, err := r.persist(ctx, records, done)
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		if e.of == nil {
			continue
		}
		if stored[i].Locked {
			last = slices.DeleteFunc(last, func(of *Remainder) bool { return of == e.of })
		} else {
			e.of.left.Add(-1)
		}
	}
	for _, of := range last {
		of.finished.Store(true)
	}
	return stored, nil
}

// persist stores records in one transaction, and waits while the database is away.
func (r *Recorder) persist(ctx context.Context, records []*models.Record, done []string) ([]models.Recorded, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	started := time.Now()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		results, err := r.try(ctx, records, done)
		if err == nil {
			return results, nil
		}
		r.log.WarnContext(ctx, "attempts not recorded", "attempts", len(records), "error", err)
		if !models.IsOutage(err) || time.Since(started)+wait > patience {
			return nil, err
		}
		time.Sleep(wait)
	}
}

func (r *Recorder) try(ctx context.Context, records []*models.Record, done []string) ([]models.Recorded, error) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	return r.attempts.Record(ctx, records, done)
}

// oneByOne finds the record that the database does not accept, so that it fails alone.
func (r *Recorder) oneByOne(ctx context.Context, entries []entry) ([]recorded, error) {
	results := make([]recorded, len(entries))
	for i, e := range entries {
		stored, err := r.store(ctx, entries[i:i+1], e.record)
		switch {
		case err == nil:
			results[i].Recorded = stored[0]
		case models.IsOutage(err):
			for j := i; j < len(results); j++ {
				results[j].err = err
			}
			return results, nil
		case models.IsUniqueViolation(err):
			results[i].err = errRecorded
		default: // something in the answer: without any record the delivery would be sent again for ever
			r.log.ErrorContext(ctx, "an attempt cannot be recorded as it was", "delivery", e.record.Attempt.DeliveryID, "error", err)
			if stored, results[i].err = r.store(ctx, entries[i:i+1], bare(e.record)); results[i].err == nil {
				results[i].Recorded = stored[0]
			}
		}
	}
	return results, nil
}

// bare returns a record without the receiver's data.
func bare(record *models.Record) *models.Record {
	plain := *record
	plain.Attempt.RequestHeaders, plain.Attempt.ResponseHeaders, plain.Attempt.ResponseBody = nil, nil, nil
	plain.Attempt.Detail.Repeated = nil
	if plain.Attempt.Error != "" {
		plain.Attempt.Error = "the failure cannot be shown"
	}
	return &plain
}
