package models

import (
	"context"
	"time"
)

// ReservePace reserves the times of the webhook's next n deliveries at a rate per second: the first may be sent at the
// returned time, each next one 1/rate later. All processes reserve from the same row, so together they keep the rate
// (the generic cell rate algorithm, ITU-T I.371, without a burst).
func (s *Store) ReservePace(ctx context.Context, webhookID string, rate float64, n int) (time.Time, error) {
	now := s.now().UnixMicro()
	taken := int64(float64(n) / rate * 1e6)
	var next int64
	err := s.again(ctx, func() error {
		return s.db.WithContext(ctx).Raw(`INSERT INTO webhook_paces (webhook_id, next_us) VALUES (?, ?)
			ON CONFLICT (webhook_id) DO UPDATE SET next_us = ? + CASE WHEN webhook_paces.next_us > ? THEN webhook_paces.next_us ELSE ? END
			RETURNING next_us`, webhookID, now+taken, taken, now, now).Scan(&next).Error
	})
	return time.UnixMicro(next - taken).UTC(), err
}

// paceSpare is by how much POSTs may be ahead of a rate: machines are not exact to the millisecond.
const paceSpare = 100 * time.Millisecond

// TakePace returns the time from which the webhook's next POST keeps to a rate per second, together with all earlier
// POSTs of all processes, whatever times were reserved for them.
func (s *Store) TakePace(ctx context.Context, webhookID string, rate float64) (time.Time, error) {
	now := s.now().UnixMicro()
	from, taken := now-paceSpare.Microseconds(), int64(1e6/rate)
	var sent int64
	err := s.db.WithContext(ctx).Raw(`INSERT INTO webhook_paces (webhook_id, next_us, sent_us) VALUES (?, ?, ?)
		ON CONFLICT (webhook_id) DO UPDATE SET sent_us = ? + CASE WHEN webhook_paces.sent_us > ? THEN webhook_paces.sent_us ELSE ? END
		RETURNING sent_us`, webhookID, now, from+taken, taken, from, from).Scan(&sent).Error
	return time.UnixMicro(sent - taken).UTC(), err
}

// TryPace is TakePace for a caller that waits for at most within: it takes the time only if that comes by then.
func (s *Store) TryPace(ctx context.Context, webhookID string, rate float64, within time.Duration) (at time.Time, taken bool, err error) {
	return s.tryPace(ctx, webhookID, rate, within, `INSERT INTO webhook_paces AS p (webhook_id, sent_us, next_us) VALUES (?, ?, ?) ON CONFLICT (webhook_id)`,
		"SELECT sent_us FROM webhook_paces WHERE webhook_id = ?", s.now().UnixMicro())
}

// TryTenantPace is TryPace for the rate of all webhooks of a tenant together.
func (s *Store) TryTenantPace(ctx context.Context, tenant string, rate float64, within time.Duration) (at time.Time, taken bool, err error) {
	return s.tryPace(ctx, tenant, rate, within, `INSERT INTO tenant_paces AS p (tenant, sent_us) VALUES (?, ?) ON CONFLICT (tenant)`,
		"SELECT sent_us FROM tenant_paces WHERE tenant = ?")
}

// tryPace takes the next time of the row with this id. insert inserts that row with the id, the time and more, and read reads its
// time.
func (s *Store) tryPace(ctx context.Context, id string, rate float64, within time.Duration, insert, read string, more ...any) (at time.Time, taken bool, err error) {
	now := s.now().UnixMicro()
	from, step := now-paceSpare.Microseconds(), int64(1e6/rate)
	args := append(append([]any{id, from + step}, more...), step, from, from, now+within.Microseconds())
	var sent int64
	err = s.again(ctx, func() error {
		result := s.db.WithContext(ctx).Raw(insert+` DO UPDATE SET sent_us = ? + CASE WHEN p.sent_us > ? THEN p.sent_us ELSE ? END
			WHERE p.sent_us <= ?
			RETURNING sent_us`, args...).Scan(&sent)
		taken = result.RowsAffected > 0
		return result.Error
	})
	if err != nil || taken {
		return time.UnixMicro(sent - step).UTC(), taken && err == nil, err
	}
	err = s.db.WithContext(ctx).Raw(read, id).Scan(&sent).Error
	return time.UnixMicro(sent).UTC(), false, err
}

// Lease requests places in flight for a process, at a webhook with limit places in all. It gets those that other
// processes leave, at most want, until expires. An earlier lease of the same process is replaced.
func (s *Store) Lease(ctx context.Context, webhookID, holder string, want, limit int, ttl time.Duration) (granted int, err error) {
	err = s.Tx(ctx, func(tx *Store) error {
		var w Webhook
		if err := found(tx.forUpdate(alive(tx.db.WithContext(ctx))).Select("id").Take(&w, "id = ?", webhookID).Error); err != nil {
			return err
		}
		var taken int64
		now := tx.now()
		err := tx.db.WithContext(ctx).Raw(`SELECT COALESCE(sum(places), 0) FROM webhook_leases
			WHERE webhook_id = ? AND holder <> ? AND expires_at > ?`, webhookID, holder, now).Scan(&taken).Error
		if err != nil {
			return err
		}
		granted = max(0, min(want, limit-int(taken)))
		if granted == 0 {
			return tx.db.WithContext(ctx).Exec(`DELETE FROM webhook_leases WHERE webhook_id = ? AND (holder = ? OR expires_at <= ?)`,
				webhookID, holder, now).Error
		}
		return tx.db.WithContext(ctx).Exec(`INSERT INTO webhook_leases (webhook_id, holder, places, expires_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (webhook_id, holder) DO UPDATE SET places = excluded.places, expires_at = excluded.expires_at`,
			webhookID, holder, granted, now.Add(ttl)).Error
	})
	return granted, err
}

// ForgetLeases removes up to limit leases that expired before a time: those of gone processes, which nobody renews.
func (s *Store) ForgetLeases(ctx context.Context, before time.Time, limit int) (int64, error) {
	// The condition is checked again for each row: a process that had been suspended may renew its lease in the
	// meantime.
	result := s.db.WithContext(ctx).Exec(`DELETE FROM webhook_leases WHERE expires_at < ? AND (webhook_id, holder) IN (
		SELECT webhook_id, holder FROM webhook_leases WHERE expires_at < ? LIMIT ?)`, before.UTC(), before.UTC(), limit)
	return result.RowsAffected, result.Error
}

// FreeLeases frees the places of gone processes.
func (s *Store) FreeLeases(ctx context.Context, gone []Process) error {
	holders := make([]string, len(gone))
	for i, p := range gone {
		holders[i] = leaseHolder(p.ID)
	}
	return s.db.WithContext(ctx).Exec("DELETE FROM webhook_leases WHERE holder IN ?", holders).Error
}

// Postponed is a delivery that is not attempted before a time.
type Postponed struct {
	Delivery   Delivery
	DispatchID string
	At         time.Time
	Reason     string // shown as status_reason until the next attempt; "" if the webhook's own limits postponed it
}

var postponedColumns = []column[Postponed]{
	{"tenant", "text", func(p *Postponed) any { return p.Delivery.Tenant }},
	{"id", "text", func(p *Postponed) any { return p.Delivery.ID }},
	{"generation", "bigint", func(p *Postponed) any { return int64(p.Delivery.Generation) }},
	{"dispatch_id", "text", func(p *Postponed) any { return p.DispatchID }},
	{"at", "timestamptz", func(p *Postponed) any { return timeOf(p.At) }},
	{"reason", "text", func(p *Postponed) any { return p.Reason }},
	was[Postponed](Pending),
}

// Postpone records when deliveries that cannot be sent now will be attempted.
func (s *Store) Postpone(ctx context.Context, deliveries []Postponed) error {
	return s.again(ctx, func() error {
		return bulk(ctx, s, deliveries, postponedColumns, `UPDATE deliveries SET next_attempt_at = v.at, dispatch_id = v.dispatch_id, status_reason = v.reason
			FROM v WHERE deliveries.tenant = v.tenant AND deliveries.id = v.id
			AND deliveries.status = v.was AND deliveries.generation = v.generation`, nil)
	})
}

// forgetPace frees the times reserved for deliveries that have been set aside.
func (s *Store) forgetPace(ctx context.Context, webhookID string) error {
	return s.db.WithContext(ctx).Exec("DELETE FROM webhook_paces WHERE webhook_id = ?", webhookID).Error
}
