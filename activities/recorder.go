package activities

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/posthorn/posthorn/internal/groupcommit"
	"github.com/posthorn/posthorn/models"
)

// Attempts stores attempts; *models.Store does. An error that models.IsOutage knows may not be met again.
type Attempts interface {
	Record(ctx context.Context, group []*models.Record, done []string) ([]models.Recorded, error)
}

// Recorder stores attempts: those that end at the same time share a transaction.
type Recorder struct {
	store Attempts
	log   *slog.Logger
	group *groupcommit.Group[entry, recorded]
}

// entry is one attempt, and the dispatch that it finishes, if it does.
type entry struct {
	record *models.Record
	done   string
}

// recorded is what came of one entry.
type recorded struct {
	models.Recorded
	err error
}

// errRecorded is met where the database had committed an attempt but could not say so before it went away. What
// has become of the delivery stands there.
var errRecorded = errors.New("the attempt has been recorded already")

// NewRecorder makes a Recorder.
func NewRecorder(store Attempts, log *slog.Logger) *Recorder {
	r := &Recorder{store: store, log: log}
	// As many records as there are deliveries in flight may wait: they are bounded by the worker's slots, and have
	// all been sent already, so none may be turned away.
	r.group = groupcommit.New(r.flush, groupcommit.Options{Lanes: 2, MaxQueue: 1 << 20})
	return r
}

// Record returns when the attempt is durable. done names the dispatch it finishes, "" if it finishes none.
func (r *Recorder) Record(ctx context.Context, record *models.Record, done string) (models.Recorded, error) {
	result, err := r.group.Do(ctx, entry{record, done})
	return result.Recorded, cmp.Or(err, result.err)
}

// patience is for how long a record is tried again while the database is away. It ends before the activity's time
// does: giving up means another POST.
const patience = 20 * time.Second

// tryFor is how much of that one try may take: over a connection whose other end has gone without a word, it would take
// all of it, and the next one finds the database that has taken over.
const tryFor = 10 * time.Second

func (r *Recorder) flush(ctx context.Context, entries []entry) ([]recorded, error) {
	records := make([]*models.Record, len(entries))
	var done []string
	for i, e := range entries {
		records[i] = e.record
		if e.done != "" {
			done = append(done, e.done)
		}
	}
	stored, err := r.persist(ctx, records, done)
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

// persist stores records in one transaction, and waits for a database that is away to come back.
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
	return r.store.Record(ctx, records, done)
}

// oneByOne finds the record the database does not take, so that it fails alone.
func (r *Recorder) oneByOne(ctx context.Context, entries []entry) ([]recorded, error) {
	results := make([]recorded, len(entries))
	for i, e := range entries {
		var done []string
		if e.done != "" {
			done = []string{e.done}
		}
		stored, err := r.persist(ctx, []*models.Record{e.record}, done)
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
		default: // something in the answer: without a record of any kind the delivery would be sent again, for ever
			r.log.ErrorContext(ctx, "an attempt cannot be recorded as it was", "delivery", e.record.Attempt.DeliveryID, "error", err)
			if stored, results[i].err = r.persist(ctx, []*models.Record{bare(e.record)}, done); results[i].err == nil {
				results[i].Recorded = stored[0]
			}
		}
	}
	return results, nil
}

// bare is a record without what came from outside.
func bare(record *models.Record) *models.Record {
	plain := *record
	plain.Attempt.RequestHeaders, plain.Attempt.ResponseHeaders, plain.Attempt.ResponseBody = nil, nil, nil
	if plain.Attempt.Error != "" {
		plain.Attempt.Error = "the failure cannot be shown"
	}
	return &plain
}
