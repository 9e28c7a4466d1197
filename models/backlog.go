package models

import (
	"context"
	"slices"
	"time"
)

// Backlog counts unfinished deliveries, for the metrics. Deliveries count by their effective status: while the pages
// of a job have not reached them, those of an inactive webhook already count as held, and those of a deleted one as
// canceled.
type Backlog struct {
	Pending, Held int64
	// Batches are those whose deliveries wait in the database, up to 10,000, and OldestBatch is when the first of these
	// was accepted; nil = there is none. See Batch.
	Batches     int64
	OldestBatch *time.Time
}

// WebhookBacklog is the number of pending deliveries of one webhook.
type WebhookBacklog struct {
	WebhookID string
	Pending   int64
}

// measuredAtOnce is the most rows that one statement counts.
const measuredAtOnce = 10_000

// counted is one statement's count for one webhook, and the last row that it saw.
type counted struct {
	WebhookID     string
	ID            string
	Seen, N       int64
	WebhookStatus WebhookStatus
	Deleted       bool
}

// Backlog measures the backlog; top has the webhooks with the longest queues, at most limit. It counts in pages, each
// a bounded statement; the total time grows with the backlog.
func (s *Store) Backlog(ctx context.Context, limit int) (b Backlog, top []WebhookBacklog, err error) {
	var queue WebhookBacklog // the queue of the current webhook
	enter := func() {
		if queue.Pending == 0 || limit == 0 {
			return
		}
		at, _ := slices.BinarySearchFunc(top, queue, func(a, b WebhookBacklog) int { return int(b.Pending - a.Pending) })
		top = slices.Insert(top, at, queue)
		top = top[:min(limit, len(top))]
	}
	err = s.countPages(ctx, `SELECT webhook_id, id, status FROM deliveries WHERE status = 'pending'
		AND (webhook_id, id) > (@webhook, @id) ORDER BY webhook_id, id LIMIT @limit`, Pending, func(c counted) {
		switch {
		case c.Deleted:
		case c.WebhookStatus != WebhookActive:
			b.Held += c.N
		default:
			b.Pending += c.N
			if queue.WebhookID != c.WebhookID {
				enter()
				queue = WebhookBacklog{WebhookID: c.WebhookID}
			}
			queue.Pending += c.N
		}
	})
	enter()
	if err != nil {
		return b, top, err
	}
	if b.Batches, b.OldestBatch, err = s.waitingBatches(ctx, measuredAtOnce); err != nil {
		return b, top, err
	}
	// Failed and canceled deliveries are in between, in the index that their lists use.
	err = s.countPages(ctx, `SELECT webhook_id, id, status FROM deliveries WHERE status IN ('held', 'failed', 'canceled')
		AND (webhook_id, id) > (@webhook, @id) ORDER BY webhook_id, id LIMIT @limit`, Held, func(c counted) {
		if !c.Deleted {
			b.Held += c.N
		}
	})
	return b, top, err
}

// countPages counts the rows with a status among those that page selects, page by page, by webhook. The pages follow
// the order of an index.
func (s *Store) countPages(ctx context.Context, page string, status DeliveryStatus, add func(counted)) error {
	for last := (counted{}); ; {
		var counts []counted
		err := s.db.WithContext(ctx).Raw(`WITH page AS (`+page+`), counts AS (
				SELECT webhook_id, max(id) AS id, count(*) AS seen, sum(CASE WHEN status = @status THEN 1 ELSE 0 END) AS n
				FROM page GROUP BY webhook_id)
			SELECT c.*, COALESCE(w.status, '') AS webhook_status, COALESCE(w.deleted_at IS NOT NULL, true) AS deleted
			FROM counts c LEFT JOIN webhooks w ON w.id = c.webhook_id ORDER BY c.webhook_id`,
			map[string]any{"webhook": last.WebhookID, "id": last.ID, "limit": measuredAtOnce, "status": status}).Scan(&counts).Error
		if err != nil {
			return err
		}
		var seen int64
		for _, c := range counts {
			add(c)
			seen += c.Seen
		}
		if seen < measuredAtOnce {
			return nil
		}
		last = counts[len(counts)-1]
	}
}

// OldestDue returns when the longest overdue pending delivery was due; nil if none is overdue. Deliveries of inactive
// webhooks are not due, whatever their rows say.
func (s *Store) OldestDue(ctx context.Context) (*time.Time, error) {
	now := s.now()
	var last Mark
	for limit := 1; ; limit = measuredAtOnce { // the first one nearly always decides
		var oldest, end Delivery
		page := s.db.WithContext(ctx).Table("deliveries").Select("id, next_attempt_at, webhook_id").
			Where("status = 'pending' AND next_attempt_at < ? AND (next_attempt_at, id) > (?, ?)", now, last.At.UTC(), last.ID).
			Order("next_attempt_at, id").Limit(limit)
		err := s.db.WithContext(ctx).Raw(`SELECT d.next_attempt_at FROM (?) d JOIN webhooks w ON w.id = d.webhook_id
			WHERE w.status = ? AND w.deleted_at IS NULL ORDER BY d.next_attempt_at, d.id LIMIT 1`, page, WebhookActive).Scan(&oldest).Error
		if err != nil || oldest.NextAttemptAt != nil {
			return oldest.NextAttemptAt, err
		}
		err = s.db.WithContext(ctx).Raw(`SELECT * FROM (?) d ORDER BY next_attempt_at DESC, id DESC LIMIT 1`, page).Scan(&end).Error
		if err != nil || end.NextAttemptAt == nil {
			return nil, err
		}
		last = Mark{*end.NextAttemptAt, end.ID}
	}
}

// WebhookCounts counts the webhooks of the installation by status, for the metrics, in pages.
func (s *Store) WebhookCounts(ctx context.Context) (map[WebhookStatus]int64, error) {
	counts := map[WebhookStatus]int64{}
	for after := ""; ; {
		var rows []struct {
			Status WebhookStatus
			Exists bool
			N      int64
			Last   string
		}
		err := s.db.WithContext(ctx).Raw(`WITH page AS (SELECT id, tenant, status, deleted_at FROM webhooks WHERE id > ? ORDER BY id LIMIT ?)
			SELECT p.status, p.deleted_at IS NULL AND t.deleted_at IS NULL AS "exists", count(*) AS n,
			(SELECT max(id) FROM page) AS last FROM page p JOIN tenants t ON t.id = p.tenant GROUP BY 1, 2`, after, measuredAtOnce).Scan(&rows).Error
		if err != nil {
			return nil, err
		}
		var n int64
		for _, r := range rows {
			if r.Exists {
				counts[r.Status] += r.N
			}
			n += r.N
			after = r.Last
		}
		if n < measuredAtOnce {
			return counts, nil
		}
	}
}
