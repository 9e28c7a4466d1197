//go:build linux

package chaos

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChaosSchedule_DependsOnSeedAndNumberOnly(t *testing.T) {
	t.Parallel()
	first, err := newSchedule(7, nil)
	require.NoError(t, err)
	again, err := newSchedule(7, nil)
	require.NoError(t, err)
	other, err := newSchedule(8, nil)
	require.NoError(t, err)
	describe := func(s *schedule, n int) (all string) {
		for _, f := range s.kind(n).plan(s.dice(n)) {
			all += f.about + ";"
		}
		return all
	}
	differ := 0
	for n := 300; n >= 0; n-- { // whatever was dealt before
		want := describe(first, n)
		require.Equal(t, want, describe(again, n))
		if want != describe(other, n) {
			differ++
		}
	}
	require.Greater(t, differ, 200)
}

func TestChaosSchedule_EveryDeckHasEveryKind(t *testing.T) {
	t.Parallel()
	s, err := newSchedule(1, nil)
	require.NoError(t, err)
	for round := range 3 {
		dealt := map[string]int{}
		for i := range s.deck {
			dealt[s.kind(round*len(s.deck)+i).name]++
		}
		for _, k := range kinds() {
			require.Equal(t, k.cards, dealt[k.name], k.name)
		}
	}
}

func TestChaosSchedule_KindsCanBeChosen(t *testing.T) {
	t.Parallel()
	s, err := newSchedule(1, []string{"clock", "full"})
	require.NoError(t, err)
	require.Len(t, s.deck, 7)
	_, err = newSchedule(1, []string{"earthquake"})
	require.ErrorContains(t, err, "no kind of fault with earthquake")
}
