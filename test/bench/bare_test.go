package main

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBenchBare_StartsAsManyASecondInGroups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var times [2500]atomic.Int64 // starts, by the millisecond
		n, err := startTogether(t.Context(), func() error {
			times[time.Since(began).Milliseconds()].Add(1)
			return nil
		}, 5, 2100*time.Millisecond)
		require.NoError(t, err)
		require.Equal(t, 40, n)
		require.Equal(t, 2100*time.Millisecond+bareSettle, time.Since(began))
		for at := range times {
			want := int64(0)
			if at > 0 && at <= 2000 && at%250 == 0 {
				want = 5
			}
			require.Equal(t, want, times[at].Load(), "after %d ms", at)
		}
	})
}

func TestBenchBare_ReportsAStartThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("down")
		_, err := startTogether(t.Context(), func() error { return down }, 5, 300*time.Millisecond)
		require.ErrorIs(t, err, down)
	})
}
