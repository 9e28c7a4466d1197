package cli

import (
	"context"
	"time"

	"github.com/posthorn/posthorn/client"
)

// StatsCommand is `posthorn stats`.
type StatsCommand struct {
	OfTenant
	Since     *Moment `placeholder:"TIME" help:"A time in the first bucket: RFC 3339, or how long ago (90m). Default: a day before --until." group:"Statistics"`
	Until     *Moment `placeholder:"TIME" help:"The end; the last bucket contains the moment before it. Default: now." group:"Statistics"`
	Bucket    string  `enum:"minute,hour,day" default:"hour" help:"The length of a line's bucket: minute, hour or day. Default ${default}." group:"Statistics"`
	Webhook   string  `placeholder:"ID" help:"Only this webhook, by id or uid." group:"Statistics"`
	EventType string  `placeholder:"TYPE" help:"Only events of this type." group:"Statistics"`
	All       bool    `help:"All tenants together. For admin keys." group:"Statistics"`
}

// Help has the examples.
func (*StatsCommand) Help() string {
	return `At most 28 days and 1,500 buckets. Times are UTC, latencies from accept to received.

Examples:
  posthorn stats --since 6h
  posthorn stats --since 672h --bucket day --webhook wh_0198c0de-0000-7000-8000-000000000002
  posthorn stats --all -o json | jq .totals`
}

// Run shows the statistics.
func (c *StatsCommand) Run(ctx context.Context, env Environment) error {
	var answer []byte
	var err error
	if c.All {
		answer, err = call(&c.Remote, func(api *client.ClientWithResponses) (*client.GetStatsResponse, error) {
			return api.GetStatsWithResponse(ctx, &client.GetStatsParams{Since: c.Since.when(), Until: c.Until.when(), Bucket: &c.Bucket,
				WebhookID: given(c.Webhook), EventType: given(c.EventType)})
		})
	} else {
		answer, err = call(&c.Remote, func(api *client.ClientWithResponses) (*client.GetTenantStatsResponse, error) {
			return api.GetTenantStatsWithResponse(ctx, c.Tenant, &client.GetTenantStatsParams{Since: c.Since.when(), Until: c.Until.when(), Bucket: &c.Bucket,
				WebhookID: given(c.Webhook), EventType: given(c.EventType)})
		})
	}
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, drawStats)
}

// drawStats draws a line for each bucket that is not empty, and one for all of them.
func drawStats(p *printer, s client.Stats) {
	p.header("from", "events", "delivered", "failed", "held", "attempts", "failed attempts", "p50", "p95", "p99")
	for i := range s.Buckets {
		b := &s.Buckets[i]
		if b.Events+b.Delivered+b.Failed+b.Held+b.Attempts > 0 {
			p.row(b.At, b.Events, b.Delivered, b.Failed, b.Held, b.Attempts, b.FailedAttempts, milliseconds(b.P50Ms), milliseconds(b.P95Ms), milliseconds(b.P99Ms))
		}
	}
	t := &s.Totals
	p.row("all", t.Events, t.Delivered, t.Failed, t.Held, t.Attempts, t.FailedAttempts, milliseconds(t.P50Ms), milliseconds(t.P95Ms), milliseconds(t.P99Ms))
}

// milliseconds returns a latency as people say it; "" if there is none.
func milliseconds(ms *float64) string {
	if ms == nil {
		return ""
	}
	return span(time.Duration(*ms * float64(time.Millisecond)))
}
