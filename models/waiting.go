package models

import "context"

// waitingRows is how many rows are examined to count the waiting deliveries: the caller waits for the answer.
const waitingRows = 10_000

// Waiting counts deliveries that are not finished.
type Waiting struct {
	Pending, Held int64
	// MorePending and MoreHeld say that there may be more than counted.
	MorePending, MoreHeld bool
}

// Waiting counts the waiting deliveries of one webhook of a tenant, or with neither those of all, up to waitingRows
// rows.
func (s *Store) Waiting(ctx context.Context, tenant, webhookID string) (w Waiting, err error) {
	of := ""
	if webhookID != "" {
		of = " AND tenant = @tenant AND webhook_id = @webhook"
	}
	args := map[string]any{"tenant": tenant, "webhook": webhookID, "limit": waitingRows}
	db := s.db.WithContext(ctx)
	err = db.Raw("SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE status = 'pending'"+of+" LIMIT @limit) d", args).Scan(&w.Pending).Error
	if err != nil {
		return w, err
	}
	var stopped struct{ Seen, Held int64 }
	// Failed and canceled deliveries are in between, in the index.
	err = db.Raw(`SELECT count(*) AS seen, COALESCE(sum(CASE WHEN status = 'held' THEN 1 ELSE 0 END), 0) AS held FROM (
		SELECT status FROM deliveries WHERE status IN ('held', 'failed', 'canceled')`+of+` ORDER BY id DESC LIMIT @limit) d`, args).Scan(&stopped).Error
	w.Held, w.MorePending, w.MoreHeld = stopped.Held, w.Pending == waitingRows, stopped.Seen == waitingRows
	return w, err
}
