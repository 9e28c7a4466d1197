package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// StatCounts counts what happened in a period.
type StatCounts struct {
	Events         int64    `json:"events" doc:"Events accepted. With webhook_id, those that matched the webhook."`
	Delivered      int64    `json:"delivered" doc:"Deliveries that were delivered."`
	Failed         int64    `json:"failed" doc:"Deliveries that used up their retries."`
	Held           int64    `json:"held" doc:"Deliveries that were held. A delivery that was held twice counts twice."`
	Attempts       int64    `json:"attempts" doc:"POSTs, without tests."`
	FailedAttempts int64    `json:"failed_attempts" doc:"POSTs that were not received."`
	P50            *float64 `json:"p50_ms" nullable:"true" doc:"The median time from accepting an event to its being received, in milliseconds. At most 5 % off; null if nothing was delivered."`
	P95            *float64 `json:"p95_ms" nullable:"true" doc:"The same as the 95th percentile."`
	P99            *float64 `json:"p99_ms" nullable:"true" doc:"The same as the 99th percentile."`
}

// StatBucket counts what happened from its time until the next bucket.
type StatBucket struct {
	At timestamp `json:"at" doc:"When the bucket begins."`
	StatCounts
}

// Stats has the counts of each bucket and their totals.
type Stats struct {
	Buckets []StatBucket `json:"buckets" doc:"Oldest first, including empty ones."`
	Totals  StatCounts   `json:"totals"`
}

func countsView(c *models.Counts) StatCounts {
	percentile := func(share float64) *float64 {
		if ms, ok := c.Percentile(share); ok {
			return &ms
		}
		return nil
	}
	return StatCounts{Events: c.Events, Delivered: c.Delivered, Failed: c.Failed, Held: c.Held, Attempts: c.Attempts, FailedAttempts: c.FailedAttempts,
		P50: percentile(0.50), P95: percentile(0.95), P99: percentile(0.99)}
}

func statsView(stats *service.Stats) Stats {
	v := Stats{Buckets: make([]StatBucket, len(stats.Buckets)), Totals: countsView(&stats.Totals)}
	for i := range stats.Buckets {
		v.Buckets[i] = StatBucket{timestamp(stats.Since.Add(time.Duration(i) * stats.Length)), countsView(&stats.Buckets[i])}
	}
	return v
}

// StatParams select the statistics.
type StatParams struct {
	Since     instant            `query:"since" doc:"A time in the first bucket. Default: a day before until."`
	Until     instant            `query:"until" doc:"The end. The last bucket is the one that contains the moment before it. Default: now."`
	Bucket    service.StatBucket `query:"bucket" enum:"minute,hour,day" default:"hour" doc:"The bucket size. Buckets are whole, in UTC. Minutes are kept for 7 days, hours for 90 and days for 400."`
	WebhookID string             `query:"webhook_id" maxLength:"256" doc:"Only this webhook."`
	EventType string             `query:"event_type" maxLength:"256" doc:"Only events of this type." example:"order.created"`
}

func (p *StatParams) query() service.StatQuery {
	return service.StatQuery{Since: p.Since.bound(), Until: p.Until.bound(), Bucket: p.Bucket, WebhookID: p.WebhookID, EventType: p.EventType}
}

type statsOfTenant struct {
	OfTenant
	StatParams
}

type statsOfAll struct {
	StatParams
	Tenant string `query:"tenant" maxLength:"256" doc:"Only this tenant." example:"acme"`
}

func (s *server) stats() {
	const description = "Counts what happened in each bucket, and the totals. At most 28 days and 1,500 buckets. Everything counts at the time when it happened, and is included immediately. Tests are not counted."
	handle(s, readers, huma.Operation{
		OperationID: "get-tenant-stats", Method: http.MethodGet, Path: "/v1/tenants/{tenant}/stats", Tags: []string{tagStats},
		Summary: "Read a tenant's statistics", Description: description,
	}, s.tenantStats)
	handle(s, admins, huma.Operation{
		OperationID: "get-stats", Method: http.MethodGet, Path: "/v1/stats", Tags: []string{tagStats},
		Summary: "Read the statistics of all tenants together", Description: description + " Counts of deleted tenants stay included here.",
	}, s.allStats)
}

func showStats(stats service.Stats, err error) (*answer[Stats], error) {
	if err != nil {
		return nil, err
	}
	return answerWith(statsView(&stats)), nil
}

func (s *server) statsOf(ctx context.Context, tenant string, in StatParams) (*answer[Stats], error) {
	webhookID, err := s.webhookFilter(ctx, tenant, in.WebhookID)
	if err != nil {
		return nil, err
	}
	in.WebhookID = webhookID
	return showStats(s.Service.Stats(ctx, tenant, in.query()))
}

func (s *server) tenantStats(ctx context.Context, in *statsOfTenant) (*answer[Stats], error) {
	return s.statsOf(ctx, in.Tenant, in.StatParams)
}

func (s *server) allStats(ctx context.Context, in *statsOfAll) (*answer[Stats], error) {
	tenant, err := s.tenantFilter(ctx, OfAnyTenant{in.Tenant})
	switch {
	case err != nil:
		return nil, err
	case tenant == "":
		return showStats(s.Service.AllStats(ctx, in.query()))
	}
	return s.statsOf(ctx, tenant, in.StatParams)
}
