package models

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// countRows is how many rows one page of a count reads.
const countRows = 10_000

// ofMissed is the prefix of a count's position once it has reached the missed events.
const ofMissed = "@"

// countPage counts more of what a recovery has to release. Deliveries that the recovery has passed in the meantime
// count as released.
func countPage(ctx context.Context, s *Store, j *Job) (JobPage, error) {
	var r Recovery
	switch err := found(s.db.WithContext(ctx).Omit("members").Take(&r, "id = ?", j.Subject).Error); {
	case errors.Is(err, ErrNotFound):
		return JobPage{Done: true}, nil
	case err != nil:
		return JobPage{}, err
	}
	counted, position, err := j.Touched, j.Position, error(nil) // Touched is the count so far
	done := r.Released + r.Skipped
	switch events, seeking := strings.CutPrefix(position, ofMissed); {
	case r.Status != RecoveryRunning:
		counted, position = done, ""
	case !seeking && !r.Seeking && !r.Sweep:
		if r.Position > position {
			counted, position = done, r.Position
		}
		counted, position, err = s.countStopped(ctx, &r, counted, position)
	case !seeking && !r.Missed:
		counted, position = done, ""
	case !seeking:
		counted, position = done, ofMissed
	default:
		if r.Seeking && r.Position > events {
			counted, events = done, r.Position
		}
		counted, position, err = s.countMissed(ctx, &r, counted, events)
	}
	if err != nil {
		return JobPage{}, err
	}
	page := JobPage{Rows: counted - j.Touched, Done: position == ""}
	if j.Position = position; !page.Done {
		return page, nil
	}
	return page, s.db.WithContext(ctx).Model(&Recovery{}).Where("id = ? AND total = ?", r.ID, TotalUnknown).Update("total", counted).Error
}

// countStopped counts deliveries. The position that it returns is "" when nothing is left to count.
func (s *Store) countStopped(ctx context.Context, r *Recovery, counted int64, after string) (int64, string, error) {
	rows, err := r.window(s.db.WithContext(ctx), after, countRows)
	if err != nil {
		return 0, "", err
	}
	counted += r.taken(rows)
	switch {
	case len(rows) == countRows:
		return counted, rows[len(rows)-1].ID, nil
	case r.Missed:
		return counted, ofMissed, nil
	default:
		return counted, "", nil
	}
}

// countMissed counts events without a delivery to the webhook.
func (s *Store) countMissed(ctx context.Context, r *Recovery, counted int64, after string) (int64, string, error) {
	var w Webhook
	err := found(alive(s.db.WithContext(ctx)).Take(&w, "id = ?", r.WebhookID).Error)
	if errors.Is(err, ErrNotFound) {
		return counted, "", nil
	}
	if err != nil {
		return 0, "", err
	}
	window, err := r.events(s.db.WithContext(ctx), after, lookedFor)
	if err != nil || len(window) == 0 {
		return counted, "", err
	}
	missed, err := s.missedBy(ctx, &w, r.wanted(&w, window))
	return counted + int64(len(missed)), ofMissed + markOf(&window[len(window)-1]), err
}

// outcomes is the state of counting the results of a recovery's deliveries.
type outcomes struct {
	After     string `json:"after"` // the last delivery of this round
	Delivered int64  `json:"delivered"`
	Failed    int64  `json:"failed"`
	Open      bool   `json:"open"` // some of this round have not ended
	// Mark is the last of the leading deliveries that have all ended: the next round starts after it.
	Mark          string `json:"mark"`
	MarkDelivered int64  `json:"mark_delivered"`
	MarkFailed    int64  `json:"mark_failed"`
}

// The waits between two rounds of a tally: a twentieth of the recovery's age, within these bounds.
const (
	tallyFirst = 2 * time.Second
	tallyLast  = 10 * time.Minute
	tallyShare = 20
	// tallyRows is how many deliveries a page of a tally reads.
	tallyRows = 2000
)

// tallyPage counts the results of the deliveries that a recovery has released, in rounds until all have ended.
func tallyPage(ctx context.Context, s *Store, j *Job) (JobPage, error) {
	db := s.db.WithContext(ctx)
	var r Recovery
	switch err := found(db.Omit("members").Take(&r, "id = ?", j.Subject).Error); {
	case errors.Is(err, ErrNotFound):
		return JobPage{Done: true}, nil
	case err != nil:
		return JobPage{}, err
	}
	var t outcomes
	if j.Position != "" {
		if err := json.Unmarshal([]byte(j.Position), &t); err != nil {
			return JobPage{}, fmt.Errorf("models: position of job %s: %w", j.ID, err)
		}
	}
	var rows []candidate
	err := db.Raw("SELECT id, status FROM deliveries WHERE recovery_id = ? AND recovery_id <> '' AND id > ? ORDER BY id LIMIT ?",
		r.ID, t.After, tallyRows).Scan(&rows).Error
	if err != nil {
		return JobPage{}, err
	}
	for i := range rows {
		t.add(&rows[i], r.Status != RecoveryRunning)
	}
	page := JobPage{}
	if len(rows) < tallyRows {
		err = db.Model(&r).Select("delivered", "failed").Updates(&Recovery{Delivered: t.Delivered, Failed: t.Failed}).Error
		page.Done = !t.Open && r.Status != RecoveryRunning
		page.Later = min(tallyLast, max(tallyFirst, s.now().Sub(r.CreatedAt)/tallyShare))
		t = outcomes{After: t.Mark, Delivered: t.MarkDelivered, Failed: t.MarkFailed, Mark: t.Mark, MarkDelivered: t.MarkDelivered, MarkFailed: t.MarkFailed}
	}
	j.Position = jsonText(t)
	return page, err
}

// add counts one delivery. settled says that the recovery releases no more, so none will come before this one.
func (t *outcomes) add(c *candidate, settled bool) {
	switch t.After = c.ID; c.Status {
	case Delivered:
		t.Delivered++
	case Failed:
		t.Failed++
	case Pending, Held:
		t.Open = true
	case Canceled:
	}
	if settled && !t.Open {
		t.Mark, t.MarkDelivered, t.MarkFailed = t.After, t.Delivered, t.Failed
	}
}
