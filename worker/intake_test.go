package worker

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	sdk "go.temporal.io/sdk/worker"
)

// slots counts the requests to it.
type slots struct {
	sdk.SlotSupplier

	reserved atomic.Int64
}

func (s *slots) ReserveSlot(context.Context, sdk.SlotReservationInfo) (*sdk.SlotPermit, error) {
	s.reserved.Add(1)
	return &sdk.SlotPermit{}, nil
}

// A worker takes no large dispatch while enough of them wait to be read, and goes on when they do not.
func TestIntake_StopsWhileThereIsACrowd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var crowded atomic.Bool
		crowded.Store(true)
		supply := &slots{}
		in := intake{supply, crowded.Load}
		done := make(chan error, 1)
		go func() {
			_, err := in.ReserveSlot(t.Context(), nil)
			done <- err
		}()
		time.Sleep(time.Minute)
		require.Zero(t, supply.reserved.Load())
		crowded.Store(false)
		require.NoError(t, <-done)
		require.Equal(t, int64(1), supply.reserved.Load())

		crowded.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := in.ReserveSlot(ctx, nil)
		require.ErrorIs(t, err, context.Canceled)
	})
}
