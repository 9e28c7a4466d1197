package console

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// People who see the same page share the looks at it, and no more pages are looked at than a process can.
func TestLive_LooksAreShared(t *testing.T) {
	t.Parallel()
	s := newStreams()
	a, leave, ok := s.enter("a", "/console")
	require.True(t, ok)
	b, leaveToo, ok := s.enter("b", "/console")
	require.True(t, ok)
	require.Same(t, a, b)
	looks := 0
	see := func() (uint64, error) {
		looks++
		return 7, nil
	}
	before := time.Now().Add(-time.Minute)
	for range 3 {
		mark, err := b.since(before, see)
		require.NoError(t, err)
		require.Equal(t, uint64(7), mark)
	}
	require.Equal(t, 1, looks)
	_, err := a.since(time.Now().Add(time.Minute), see)
	require.NoError(t, err)
	require.Equal(t, 2, looks, "what was seen is too old")

	require.Equal(t, lookEvery, s.every())
	var others []func()
	for i := range maxStreams - 2 {
		_, leave, ok := s.enter(string(rune('c'+i)), string(rune('c'+i)))
		require.True(t, ok)
		others = append(others, leave)
	}
	require.Equal(t, time.Duration(maxStreams-1)*time.Second/looksASecond, s.every())
	_, _, ok = s.enter("z", "/console")
	require.False(t, ok)
	for _, leave := range append(others, leave, leaveToo) {
		leave()
	}
	require.Empty(t, s.pages)
	require.Empty(t, s.sessions)
	require.Zero(t, s.open)
}
