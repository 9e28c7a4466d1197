package activities

import (
	"context"
	"log/slog"
	"time"

	"github.com/posthorn/posthorn/internal/groupcommit"
	"github.com/posthorn/posthorn/models"
)

// Recorder stores attempts: those that end at the same time share a transaction.
type Recorder struct {
	store *models.Store
	log   *slog.Logger
	group *groupcommit.Group[entry, models.Recorded]
}

// entry is one attempt, and the dispatch that it finishes, if it does.
type entry struct {
	record *models.Record
	done   string
}

// NewRecorder makes a Recorder.
func NewRecorder(store *models.Store, log *slog.Logger) *Recorder {
	r := &Recorder{store: store, log: log}
	// As many records as there are deliveries in flight may wait: they are bounded by the worker's slots, and have
	// all been sent already, so none may be turned away.
	r.group = groupcommit.New(r.flush, groupcommit.Options{Lanes: 2, MaxQueue: 1 << 20})
	return r
}

// Record returns when the attempt is durable. done names the dispatch it finishes, "" if it finishes none.
func (r *Recorder) Record(ctx context.Context, record *models.Record, done string) (models.Recorded, error) {
	return r.group.Do(ctx, entry{record, done})
}

// patience is for how long a record is tried again while the database is away. It ends before the activity's time
// does: giving up means another POST.
const patience = 20 * time.Second

func (r *Recorder) flush(ctx context.Context, entries []entry) ([]models.Recorded, error) {
	records := make([]*models.Record, len(entries))
	var done []string
	for i, e := range entries {
		records[i] = e.record
		if e.done != "" {
			done = append(done, e.done)
		}
	}
	started := time.Now()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		results, err := r.store.Record(ctx, records, done)
		if err == nil {
			return results, nil
		}
		r.log.WarnContext(ctx, "attempts not recorded", "attempts", len(records), "error", err)
		if !models.IsOutage(err) && len(entries) > 1 {
			return r.oneByOne(ctx, entries)
		}
		if !models.IsOutage(err) || time.Since(started)+wait > patience {
			return nil, err
		}
		time.Sleep(wait)
	}
}

// oneByOne finds the record the database does not take, so that it fails alone.
func (r *Recorder) oneByOne(ctx context.Context, entries []entry) ([]models.Recorded, error) {
	results := make([]models.Recorded, len(entries))
	for i, e := range entries {
		var done []string
		if e.done != "" {
			done = []string{e.done}
		}
		one, err := r.store.Record(ctx, []*models.Record{e.record}, done)
		if err != nil {
			if models.IsOutage(err) {
				return nil, err
			}
			r.log.ErrorContext(ctx, "an attempt cannot be recorded", "delivery", e.record.Attempt.DeliveryID, "error", err)
			continue
		}
		results[i] = one[0]
	}
	return results, nil
}
