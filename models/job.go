package models

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm/clause"
)

// Job is the rest of a large change. The change itself updates one row, which decides at once what is sent. The job
// updates the dependent rows, page by page, each page in a separate short transaction. It survives a kill: its
// position is in its row, which is deleted when nothing is left to do.
type Job struct {
	ID        string
	Kind      JobKind
	Tenant    string
	WebhookID string
	EventID   string
	Subject   string // another object of the job: the id of a recovery or an attempt
	Reason    string // recorded on the rows; for an operational event its type
	Epoch     int64  // of the webhook's status; a job for an earlier status has nothing left to do
	Position  string // the last processed row
	Members   []byte // for a fan-out: the ids of the webhooks
	Touched   int64  // rows changed so far
	Errors    int    // successive failed pages
	DueAt     time.Time
	CreatedAt time.Time

	most int // the most rows of the current page
}

// JobKind is the kind of work of a job.
type JobKind string

// jobPages does one page of a job, by kind. A page runs in a transaction that holds the job's row. It returns Done
// when nothing is left.
var jobPages = map[JobKind]func(context.Context, *Store, *Job) (JobPage, error){
	jobHold:      holdPage,
	jobCancel:    cancelPage,
	jobKeep:      keepPage,
	jobErase:     erasePage,
	jobCount:     countPage,
	jobTally:     tallyPage,
	jobEraseMany: eraseManyPage,
	jobBlank:     blankPage,
	jobFanOut:    fanOutPage,
	jobAnnounce:  announcePage,
	JobPurge:     purgePage,
}

// JobPage is the result of one page.
type JobPage struct {
	Done bool
	Rows int64 // changed rows
	// Fresh are dispatches that the page wrote, for the caller to start.
	Fresh []Dispatch
	// Later is how long to wait before the next page.
	Later time.Duration
	// Judge are webhooks whose health workflows must be woken.
	Judge []string
}

// jobRows is the most rows that a page changes, and jobRowsBeside the most while there is traffic: an attempt whose
// row is in the page waits for the page's end, and so do those that are recorded with it.
const (
	jobRows       = 1000
	jobRowsBeside = 200
	jobBeside     = 500 * time.Millisecond // since the last event or attempt
)

// pageRows returns how many rows a page may change now.
func (s *Store) pageRows() int {
	if s.now().Sub(s.LastTraffic()) < jobBeside {
		return jobRowsBeside
	}
	return jobRows
}

// addJob stores a job in the transaction of its change.
func (s *Store) addJob(ctx context.Context, j Job) (id string, err error) {
	j.ID, j.CreatedAt = NewID(PrefixJob), s.now()
	if j.Members = notNil(j.Members); j.DueAt.IsZero() {
		j.DueAt = j.CreatedAt
	}
	return j.ID, s.db.WithContext(ctx).Create(&j).Error
}

// follow changes the first jobRows rows right after the change has been committed, so that a small change is complete
// when it returns. If anything fails, the job does it later.
func (s *Store) follow(ctx context.Context, id string) {
	if id == "" || s.inTx {
		return
	}
	most := s.pageRows()
	for rows := int64(0); rows < jobRows; {
		job, page, err := s.runJob(ctx, most, "id = ?", id)
		if err != nil || job.ID == "" || page.Done || page.Rows == 0 {
			return
		}
		rows += page.Rows
	}
}

// The waits of a job whose page failed: the first, and the longest.
const (
	jobRetry    = time.Second
	jobRetryMax = time.Minute
	// jobIdle is the wait of a job whose page could change nothing.
	jobIdle = 100 * time.Millisecond
)

// isDue is the condition on jobs that a worker may do. It takes the time.
const isDue = "due_at <= ?"

// RunJob does one page of the job that has waited longest, and returns that job; ID "" if none is due. Jobs that
// another process works on are skipped. If a page fails, its job waits for a while, so that the others go on.
func (s *Store) RunJob(ctx context.Context) (job Job, page JobPage, err error) {
	return s.runJob(ctx, s.pageRows(), isDue, s.now())
}

func (s *Store) runJob(ctx context.Context, most int, where string, args ...any) (job Job, page JobPage, err error) {
	err = s.Tx(ctx, func(tx *Store) error {
		job, page = Job{}, JobPage{}
		q := tx.db.WithContext(ctx).Omit("members").Where(where, args...).Order("due_at, id") // members may be long
		if tx.postgres {
			q = q.Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate, Options: clause.LockingOptionsSkipLocked})
		}
		if err := found(q.Take(&job).Error); err != nil {
			return err
		}
		job.most = most
		run, ok := jobPages[job.Kind]
		if !ok {
			return fmt.Errorf("models: no such kind of job: %s", job.Kind)
		}
		var err error
		if page, err = run(ctx, tx, &job); err != nil {
			return err
		}
		job.Touched += page.Rows
		if page.Done {
			return tx.db.WithContext(ctx).Delete(&Job{}, "id = ?", job.ID).Error
		}
		job.Errors, job.DueAt = 0, tx.now()
		job.DueAt = job.DueAt.Add(page.Later)
		if page.Rows == 0 && page.Later == 0 { // the remaining rows are locked
			job.DueAt = job.DueAt.Add(jobIdle)
		}
		return tx.db.WithContext(ctx).Model(&job).Select("position", "epoch", "touched", "errors", "due_at").Updates(&job).Error
	})
	switch {
	case errors.Is(err, ErrNotFound) && job.ID == "":
		return Job{}, JobPage{}, nil
	case err != nil && job.ID != "":
		return job, JobPage{}, errors.Join(err, s.putOffJob(context.WithoutCancel(ctx), &job))
	}
	return job, page, err
}

// putOffJob postpones a job whose page failed.
func (s *Store) putOffJob(ctx context.Context, j *Job) error {
	wait := min(jobRetryMax, jobRetry<<min(j.Errors, 6))
	return s.db.WithContext(ctx).Model(&Job{}).Where("id = ?", j.ID).
		Updates(map[string]any{"errors": j.Errors + 1, "due_at": s.now().Add(wait)}).Error
}

// Jobs counts the unfinished jobs, by kind, for the metrics.
func (s *Store) Jobs(ctx context.Context) (map[JobKind]int64, error) {
	var rows []struct {
		Kind JobKind
		N    int64
	}
	err := s.db.WithContext(ctx).Model(&Job{}).Select("kind, count(*) AS n").Group("kind").Scan(&rows).Error
	counts := make(map[JobKind]int64, len(rows))
	for _, r := range rows {
		counts[r.Kind] = r.N
	}
	return counts, err
}
