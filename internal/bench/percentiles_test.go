package bench

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPercentiles_PickByNearestRank(t *testing.T) {
	t.Parallel()
	upTo := func(n int) []uint32 {
		all := make([]uint32, n)
		for i := range all {
			all[i] = uint32(n-i) * 1000 // the largest first
		}
		return all
	}
	for _, tt := range []struct {
		name   string
		micros []uint32
		want   *Percentiles
	}{
		{"none", nil, nil},
		{"one", []uint32{1500}, &Percentiles{1, 1.5, 1.5, 1.5, 1.5, 1.5}},
		{"two", []uint32{3000, 1000}, &Percentiles{2, 1, 3, 3, 3, 3}},
		{"a hundred", upTo(100), &Percentiles{100, 50, 90, 99, 100, 100}},
		{"ten thousand", upTo(10_000), &Percentiles{10_000, 5000, 9000, 9900, 9990, 10_000}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, percentiles(tt.micros))
		})
	}
}
