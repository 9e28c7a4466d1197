package service

import (
	"context"
	"time"

	"github.com/posthorn/posthorn/models"
)

// StatQuery is a query for statistics. Until defaults to now, and Since to a day before it.
type StatQuery struct {
	Since, Until         time.Time
	Bucket               StatBucket
	WebhookID, EventType string
}

// StatBucket is the length of a bucket.
type StatBucket string

// statLengths are the possible lengths of buckets, and for how many days each is kept.
var statLengths = map[StatBucket]struct {
	length time.Duration
	days   int
}{
	"minute": {time.Minute, models.StatMinuteDays},
	"hour":   {time.Hour, models.StatHourDays},
	"day":    {24 * time.Hour, models.StatDayDays},
}

// The bounds of a query.
const (
	statDays    = 28
	statBuckets = 1500
)

// Stats counts what happened, bucket by bucket from Since on.
type Stats struct {
	Since   time.Time
	Length  time.Duration
	Buckets []models.Counts
	Totals  models.Counts
}

// filter returns what to read: whole buckets, the first one with Since and the last one with the moment before Until.
func (q *StatQuery) filter(now time.Time) (models.StatFilter, error) {
	const day = 24 * time.Hour
	var p problems
	of, ok := statLengths[q.Bucket]
	if !ok {
		p.addf("bucket", "must be minute, hour or day")
		return models.StatFilter{}, p.err()
	}
	until := q.Until
	if until.IsZero() {
		until = now
	}
	since := q.Since
	if since.IsZero() {
		since = until.Add(-day)
	}
	f := models.StatFilter{WebhookID: q.WebhookID, EventType: q.EventType, Since: since.UTC().Truncate(of.length), Bucket: of.length}
	f.Until = until.UTC().Add(of.length - 1).Truncate(of.length)
	switch {
	case !since.Before(until):
		p.addf("until", "must be later than since, which is %s", since.UTC().Format(time.RFC3339))
	case until.Sub(since) > statDays*day:
		p.addf("since", "must be at most %d days before until", statDays)
	case f.Until.Sub(f.Since)/of.length > statBuckets:
		p.addf("bucket", "this is more than %d buckets: use longer ones, or a shorter time", statBuckets)
	case f.Since.Before(models.StatsSince(now, of.days)):
		p.addf("since", "buckets of a %s are kept for %d days: use longer ones", q.Bucket, of.days)
	}
	return f, p.err()
}

// Stats reads a tenant's statistics.
func (s *Service) Stats(ctx context.Context, tenant string, q StatQuery) (Stats, error) {
	return s.stats(ctx, tenant, q)
}

// AllStats reads the statistics of all tenants together.
func (s *Service) AllStats(ctx context.Context, q StatQuery) (Stats, error) {
	return s.stats(ctx, "", q)
}

func (s *Service) stats(ctx context.Context, tenant string, q StatQuery) (Stats, error) {
	f, err := q.filter(s.Now())
	if err != nil {
		return Stats{}, err
	}
	f.Tenant = tenant
	stats := Stats{Since: f.Since, Length: f.Bucket}
	stats.Buckets, err = read(ctx, s, "statistics", func(ctx context.Context, store *models.Store) ([]models.Counts, error) {
		return store.Stats(ctx, f)
	})
	for i := range stats.Buckets {
		stats.Totals.Add(&stats.Buckets[i])
	}
	return stats, err
}

// Tally counts the results of the attempts at a webhook in a period.
type Tally struct {
	Received int64
	Failed   int64 // without the last attempt of a delivery that has another planned
	// Untried and Repeating count the deliveries that wait for the first attempt and for another one, up to tallied.
	Untried, Repeating int64
}

// tallied is the most pending deliveries that a tally counts.
const tallied = 10_000

// Tally counts the attempts at a webhook in a period, in whole minutes up to a day, and in whole hours for longer.
func (s *Service) Tally(ctx context.Context, tenant, webhookID string, since, until time.Time) (Tally, error) {
	q := StatQuery{Since: since, Until: until, Bucket: "hour", WebhookID: webhookID}
	if until.Sub(since) <= 24*time.Hour && s.Now().Sub(since) < (models.StatMinuteDays-1)*24*time.Hour {
		q.Bucket = "minute"
	}
	stats, err := s.Stats(ctx, tenant, q)
	if err != nil {
		return Tally{}, err
	}
	t := Tally{Received: stats.Totals.Attempts - stats.Totals.FailedAttempts}
	_, err = read(ctx, s, "statistics", func(ctx context.Context, store *models.Store) (_ struct{}, err error) {
		t.Untried, t.Repeating, err = store.CountPending(ctx, tenant, webhookID, since, until, tallied)
		return struct{}{}, err
	})
	t.Failed = max(0, stats.Totals.FailedAttempts-t.Repeating)
	return t, err
}
