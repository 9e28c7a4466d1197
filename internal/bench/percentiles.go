package bench

import (
	"math"
	"slices"
)

// Percentiles describe a set of durations, in milliseconds. They are exact: every duration was kept and sorted.
type Percentiles struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

// percentiles sorts the durations, given in microseconds, and picks by nearest rank. nil if there are none.
func percentiles(micros []uint32) *Percentiles {
	if len(micros) == 0 {
		return nil
	}
	slices.Sort(micros)
	at := func(p float64) float64 {
		rank := int(math.Ceil(p * float64(len(micros))))
		return float64(micros[max(rank, 1)-1]) / 1000
	}
	return &Percentiles{Count: len(micros), P50: at(.5), P90: at(.9), P99: at(.99), P999: at(.999), Max: at(1)}
}
