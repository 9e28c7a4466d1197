package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// counters are Posthorn's own figures, added up over all its processes.
type counters struct {
	starts, catches float64
	goroutines      float64
	sizes           dispatchSizes
}

type dispatchSizes struct {
	count   float64
	sum     float64
	buckets map[float64]float64 // dispatches with at most so many deliveries
}

// scrape adds up the metrics of the processes at urls.
func scrape(ctx context.Context, urls []string) (*counters, error) {
	total := &counters{sizes: dispatchSizes{buckets: map[float64]float64{}}}
	for _, url := range urls {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return total, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return total, fmt.Errorf("metrics: %w", err)
		}
		if response.StatusCode == http.StatusOK {
			err = total.add(response.Body)
		} else {
			err = fmt.Errorf("%s: %s", url, response.Status)
		}
		_ = response.Body.Close()
		if err != nil {
			return total, fmt.Errorf("metrics: %w", err)
		}
	}
	return total, nil
}

func (c *counters) add(text io.Reader) error {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return err
	}
	c.starts += sum(families["posthorn_workflow_starts_total"], "started")
	c.catches += sum(families["posthorn_reconciler_catches_total"], "")
	for _, m := range families["go_goroutines"].GetMetric() {
		c.goroutines += m.GetGauge().GetValue()
	}
	for _, m := range families["posthorn_dispatch_deliveries"].GetMetric() {
		h := m.GetHistogram()
		c.sizes.count += float64(h.GetSampleCount())
		c.sizes.sum += h.GetSampleSum()
		for _, b := range h.GetBucket() {
			c.sizes.buckets[b.GetUpperBound()] += float64(b.GetCumulativeCount())
		}
	}
	return nil
}

// sum adds up a counter's values: those with the label value, or all.
func sum(family *dto.MetricFamily, label string) (total float64) {
	for _, m := range family.GetMetric() {
		if label == "" || len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
			total += m.GetCounter().GetValue()
		}
	}
	return total
}

// Workflows says how Posthorn used its engine in a run.
type Workflows struct {
	Starts         int64   `json:"starts"`
	StartsPerEvent float64 `json:"starts_per_event"`
	// MeanSize is the mean number of deliveries in a dispatch.
	MeanSize float64 `json:"mean_deliveries_per_dispatch"`
	// Sizes says how many dispatches had at most so many deliveries, and more than the entry before.
	Sizes []SizeBucket `json:"sizes"`
	// Catches are deliveries that only the reconciler started. Normally there are none.
	Catches int64 `json:"reconciler_catches"`
	// Goroutines is their number in all processes when everything was delivered.
	Goroutines int64 `json:"goroutines"`
}

// SizeBucket counts the dispatches of a size.
type SizeBucket struct {
	Most  int   `json:"most"`
	Count int64 `json:"count"`
}

// since returns the difference between two scrapes. events is the number of accepted events between them.
func (c *counters) since(before *counters, events int64) *Workflows {
	w := &Workflows{Starts: int64(c.starts - before.starts), Catches: int64(c.catches - before.catches), Goroutines: int64(c.goroutines)}
	if events > 0 {
		w.StartsPerEvent = float64(w.Starts) / float64(events)
	}
	if n := c.sizes.count - before.sizes.count; n > 0 {
		w.MeanSize = (c.sizes.sum - before.sizes.sum) / n
	}
	var below int64
	for _, bound := range sorted(c.sizes.buckets) {
		n := int64(c.sizes.buckets[bound] - before.sizes.buckets[bound])
		if n > below && bound < 1<<20 { // the last bound is infinite
			w.Sizes = append(w.Sizes, SizeBucket{int(bound), n - below})
		}
		below = n
	}
	return w
}
