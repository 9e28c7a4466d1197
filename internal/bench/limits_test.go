package bench

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSightings(t *testing.T) {
	t.Parallel()
	var s sightings
	for _, stamp := range []uint32{1_000_000, 1_100_000, 1_200_000} {
		s.arrive(stamp)
	}
	s.leave()
	s.arrive(1_400_000)
	require.InDelta(t, 3/.4, s.rate(), 1e-9)
	require.EqualValues(t, 3, s.most.Load())
	s.reset()
	require.Zero(t, s.rate())
	require.EqualValues(t, 3, s.most.Load(), "they are still in flight")
	s.leave()
	s.arrive(2_000_000)
	require.Zero(t, s.rate(), "one is no rate")

	l := (&stream{hooks: []*hook{{limits: limits{rateLimit: 5}}, {limits: limits{maxInFlight: 2}}}}).limits()
	require.Equal(t, &Limits{RateLimit: 5, MaxInFlight: 2}, l)
}
