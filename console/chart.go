package console

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// span is a period for which statistics are shown.
type span struct {
	Name, Text string
	length     time.Duration
	bucket     service.StatBucket
	label      string // how the time of a bucket is written
}

// spans are the periods that an address may ask for. The first is the default.
var spans = []span{
	{"24h", "24 hours", 24 * time.Hour, "hour", "2 Jan 15:04"},
	{"1h", "Hour", time.Hour, "minute", "15:04"},
	{"7d", "7 days", 7 * 24 * time.Hour, "hour", "2 Jan 15:04"},
	{"28d", "28 days", 27 * 24 * time.Hour, "day", "2 Jan"},
}

// chartBody holds the statistics for a template.
type chartBody struct {
	Spans         []span
	Span, Address string
	Totals        models.Counts
	Rate          string // of success
	Latency       [3]string
	Deliveries    template.HTML
	Empty         bool
	First, Last   string
	Tall          string // the highest bar
}

// chart reads the statistics that the address asks for. read reads those of the page's subject.
func (v *visit) chart(read func(service.StatQuery) (service.Stats, error)) (chartBody, error) {
	chosen := spans[0]
	for _, s := range spans {
		if s.Name == v.query("span") {
			chosen = s
		}
	}
	now := v.Service.Store.Now()
	stats, err := read(service.StatQuery{Since: now.Add(-chosen.length), Until: now, Bucket: chosen.bucket})
	if err != nil {
		return chartBody{}, err
	}
	c := chartBody{Spans: spans, Span: chosen.Name, Address: v.r.URL.Path, Totals: stats.Totals, Rate: "–"}
	if ended := stats.Totals.Delivered + stats.Totals.Failed; ended > 0 {
		c.Rate = percent(stats.Totals.Delivered, ended)
	}
	for i, share := range []float64{0.50, 0.95, 0.99} {
		if c.Latency[i] = "–"; stats.Totals.Delivered > 0 {
			if ms, ok := stats.Totals.Percentile(share); ok {
				c.Latency[i] = milliseconds(ms)
			}
		}
	}
	c.draw(&stats, chosen.label)
	return c, nil
}

// percent writes a share. It never writes 100 % when something is missing.
func percent(n, of int64) string {
	if n == of {
		return "100 %"
	}
	return fmt.Sprintf("%.1f %%", min(99.9, 100*float64(n)/float64(of)))
}

// milliseconds writes a time in the unit that is easiest to read.
func milliseconds(ms float64) string {
	switch {
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	case ms < 60_000:
		return fmt.Sprintf("%.1f s", ms/1000)
	default:
		return fmt.Sprintf("%.0f min", ms/60_000)
	}
}

// The picture's units: each bucket is ten wide, and its bar takes eight of them.
const (
	bucketWidth = 10
	barWidth    = 8
	chartHeight = 100
)

// draw makes a bar for each bucket: the delivered deliveries, and above them the failed attempts. A line shows the events.
func (c *chartBody) draw(stats *service.Stats, label string) {
	top := int64(0)
	for _, b := range stats.Buckets {
		top = max(top, b.Delivered+b.FailedAttempts, b.Events)
	}
	at := func(i int) string { return stats.Since.Add(time.Duration(i) * stats.Length).UTC().Format(label) }
	c.Empty, c.Tall = top == 0, number(top)
	c.First, c.Last = at(0), at(len(stats.Buckets)-1)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="chart" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="%s events, %s delivered, %s attempts failed, from %s to %s UTC">`,
		bucketWidth*len(stats.Buckets), chartHeight, number(c.Totals.Events), number(c.Totals.Delivered), number(c.Totals.FailedAttempts), c.First, c.Last)
	var line strings.Builder
	for i, n := range stats.Buckets {
		fmt.Fprintf(&line, "%d,%.1f ", i*bucketWidth+bucketWidth/2, chartHeight-height(n.Events, top))
		if n.Delivered+n.FailedAttempts+n.Events == 0 {
			continue
		}
		good := height(n.Delivered, top)
		bad := height(n.FailedAttempts, top)
		fmt.Fprintf(&b, `<g><title>%s UTC: %s, %s delivered, %s attempts failed</title>`, at(i), plural(int(n.Events), "event"), number(n.Delivered), number(n.FailedAttempts))
		bar(&b, "delivered", i, chartHeight-good, good)
		bar(&b, "failed", i, chartHeight-good-bad, bad)
		fmt.Fprintf(&b, `<rect class="over" x="%d" y="0" width="%d" height="%d"/></g>`, i*bucketWidth, bucketWidth, chartHeight)
	}
	if c.Totals.Events > 0 {
		fmt.Fprintf(&b, `<polyline points="%s"/>`, strings.TrimSpace(line.String()))
	}
	b.WriteString("</svg>")
	c.Deliveries = template.HTML(b.String()) //nolint:gosec // numbers, times and our own words
}

func bar(b *strings.Builder, class string, bucket int, y, height float64) {
	if height > 0 {
		fmt.Fprintf(b, `<rect class="%s" x="%d" y="%.1f" width="%d" height="%.1f"/>`, class, bucket*bucketWidth+(bucketWidth-barWidth)/2, y, barWidth, height)
	}
}

// height returns the height of a bar. Every number above 0 is visible.
func height(n, top int64) float64 {
	if n == 0 {
		return 0
	}
	return max(1.5, float64(n)*(chartHeight-4)/float64(top))
}

// A spark shows the last hour of a webhook.
const (
	sparkBar  = 5 * time.Minute
	sparkBars = 12
)

// sparks draws the last hour of webhooks, by their ids.
func sparks(counts []models.WebhookCount, since time.Time) map[string]template.HTML {
	all := map[string]*[sparkBars]models.Counts{}
	for i := range counts {
		c := &counts[i]
		bars := all[c.WebhookID]
		if bars == nil {
			bars = &[sparkBars]models.Counts{}
			all[c.WebhookID] = bars
		}
		if at := int(c.At.Sub(since) / sparkBar); at >= 0 && at < sparkBars {
			bars[at].Add(&c.Counts)
		}
	}
	drawn := map[string]template.HTML{}
	for id, bars := range all {
		top, delivered, failed := int64(1), int64(0), int64(0)
		for _, c := range bars {
			top = max(top, c.Delivered+c.FailedAttempts)
			delivered, failed = delivered+c.Delivered, failed+c.FailedAttempts
		}
		var b strings.Builder
		fmt.Fprintf(&b, `<svg class="spark" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="last hour: %s delivered, %s attempts failed"><title>last hour: %s delivered, %s attempts failed</title>`,
			bucketWidth*sparkBars, chartHeight, number(delivered), number(failed), number(delivered), number(failed))
		for i, c := range bars {
			good, bad := height(c.Delivered, top), height(c.FailedAttempts, top)
			bar(&b, "delivered", i, chartHeight-good, good)
			bar(&b, "failed", i, chartHeight-good-bad, bad)
		}
		b.WriteString("</svg>")
		drawn[id] = template.HTML(b.String()) //nolint:gosec // numbers and our own words
	}
	return drawn
}
