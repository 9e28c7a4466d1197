package pause_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/pause"
)

func TestPause_For(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		for _, d := range []time.Duration{time.Hour, time.Nanosecond, 0, -time.Second} {
			began := time.Now()
			require.NoError(t, pause.For(ctx, d))
			require.Equal(t, max(d, 0), time.Since(began))
		}

		began := time.Now()
		time.AfterFunc(time.Minute, func() { cancel(why) })
		require.ErrorIs(t, pause.For(ctx, time.Hour), why)
		require.Equal(t, time.Minute, time.Since(began))
	})
}

func TestPause_UntilASignal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		signal := make(chan struct{})
		waits := func(after time.Duration, err error) {
			t.Helper()
			began := time.Now()
			require.ErrorIs(t, pause.Until(ctx, signal, time.Hour), err)
			require.Equal(t, after, time.Since(began))
		}
		waits(time.Hour, nil)
		time.AfterFunc(time.Second, func() { signal <- struct{}{} })
		waits(time.Second, nil)
		time.AfterFunc(time.Minute, func() { cancel(why) })
		waits(time.Minute, why)
	})
}
