package bench

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSightings_GiveTheRate(t *testing.T) {
	t.Parallel()
	s := sightings{timed: true}
	rate := func() float64 {
		rate, _ := s.rate()
		return rate
	}
	for _, stamp := range []uint32{1_000_000, 1_100_000, 1_200_000} {
		s.arrive(stamp)
	}
	s.leave()
	s.arrive(1_400_000)
	require.InDelta(t, 3/.4, rate(), 1e-9)
	require.EqualValues(t, 3, s.most.Load())
	s.reset()
	require.Zero(t, rate())
	require.EqualValues(t, 3, s.most.Load(), "they are still in flight")
	s.leave()
	s.arrive(2_000_000)
	require.Zero(t, rate(), "one is no rate")
	for _, stamp := range []uint32{2_600_000, 2_700_000, 2_999_999, 3_100_000, 3_600_000, 4_700_000} {
		s.arrive(stamp)
	}
	_, most := s.rate()
	require.Equal(t, 4, most, "from 2.0 to 2.9, or from 2.6 to 3.1")

	l := (&stream{hooks: []*hook{{limits: limits{rateLimit: 5}}, {limits: limits{maxInFlight: 2}}}}).limits()
	require.Equal(t, &Limits{RateLimit: 5, MaxInFlight: 2}, l)
}
