package models

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
)

// Counts counts what happened. For a webhook, Events are those that matched it.
type Counts struct {
	Events, Delivered, Failed, Held, Attempts, FailedAttempts int64

	// latency counts deliveries by how long they took: see latencyBucket.
	latency map[uint64]int64
}

// fields returns the counters in the order in which they are stored.
func (c *Counts) fields() []*int64 {
	return []*int64{&c.Events, &c.Delivered, &c.Failed, &c.Held, &c.Attempts, &c.FailedAttempts}
}

// Add adds the other counts.
func (c *Counts) Add(other *Counts) {
	mine := c.fields()
	for i, n := range other.fields() {
		*mine[i] += *n
	}
	for bucket, n := range other.latency {
		c.took(bucket, n)
	}
}

func (c *Counts) took(bucket uint64, n int64) {
	if c.latency == nil {
		c.latency = map[uint64]int64{}
	}
	c.latency[bucket] += n
}

// latencyGrowth is the factor between the bounds of successive latency buckets. A value between two bounds is at most
// 3.9 % from the bucket's value.
const latencyGrowth = 1.08

// latencyBucket returns the bucket of a latency in milliseconds: 0 for less than one, i for those over
// latencyGrowth^(i-2) and up to latencyGrowth^(i-1).
func latencyBucket(ms int64) uint64 {
	if ms < 1 {
		return 0
	}
	return 1 + uint64(math.Ceil(math.Log(float64(ms))/math.Log(latencyGrowth)))
}

// latencyOf returns a bucket's value. Below wholeLatency each whole millisecond has its own bucket.
func latencyOf(bucket uint64) float64 {
	if bucket == 0 {
		return 0
	}
	const wholeLatency = 12.5
	ms := 2 * math.Pow(latencyGrowth, float64(bucket-1)) / (1 + latencyGrowth)
	if ms < wholeLatency {
		return math.Round(ms)
	}
	return math.Round(10*ms) / 10
}

// Percentile returns the latency in milliseconds, from accept to received, within which a share of the deliveries was
// received. It is at most 5 % off. ok is false if nothing was delivered.
func (c *Counts) Percentile(share float64) (ms float64, ok bool) {
	var all int64
	for _, n := range c.latency {
		all += n
	}
	rank := int64(math.Ceil(share * float64(all)))
	for _, bucket := range slices.Sorted(maps.Keys(c.latency)) {
		if rank -= c.latency[bucket]; rank <= 0 {
			return latencyOf(bucket), true
		}
	}
	return 0, false
}

// errStats means that stored counts cannot be decoded.
var errStats = errors.New("models: statistics that cannot be read")

func appendText(data []byte, text string) []byte {
	return append(binary.AppendUvarint(data, uint64(len(text))), text...)
}

// appendCounts encodes counts: the counters, and the non-empty buckets, each as its distance from the previous one and
// its count.
func appendCounts(data []byte, c *Counts) []byte {
	for _, n := range c.fields() {
		data = binary.AppendUvarint(data, uint64(*n)) //nolint:gosec // never negative
	}
	data = binary.AppendUvarint(data, uint64(len(c.latency)))
	last := uint64(0)
	for _, bucket := range slices.Sorted(maps.Keys(c.latency)) {
		data = binary.AppendUvarint(data, bucket-last)
		data = binary.AppendUvarint(data, uint64(c.latency[bucket])) //nolint:gosec // never negative
		last = bucket
	}
	return data
}

// countsReader decodes the output of appendText and appendCounts. After an error it returns zeros.
type countsReader struct {
	data []byte
	err  error
}

func (r *countsReader) number() uint64 { return readNumber(r, binary.Uvarint) }

func readNumber[T int64 | uint64](r *countsReader, decode func([]byte) (T, int)) T {
	n, size := decode(r.data)
	if size <= 0 {
		r.data, r.err = nil, errStats
		return 0
	}
	r.data = r.data[size:]
	return n
}

func (r *countsReader) text() string {
	n := r.number()
	if n > uint64(len(r.data)) {
		r.data, r.err = nil, errStats
		return ""
	}
	text := string(r.data[:n])
	r.data = r.data[n:]
	return text
}

func (r *countsReader) counts() (c Counts) {
	for _, n := range c.fields() {
		*n = int64(r.number()) //nolint:gosec // as it was written
	}
	bucket := uint64(0)
	for n := r.number(); n > 0 && r.err == nil; n-- {
		bucket += r.number()
		c.took(bucket, int64(r.number())) //nolint:gosec // as it was written
	}
	return c
}

// more reports whether there is more to read.
func (r *countsReader) more() bool { return len(r.data) > 0 && r.err == nil }
