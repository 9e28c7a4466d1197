// Package pause waits. It must not import any package of Posthorn.
package pause

import (
	"context"
	"time"
)

// For waits for d. If ctx ends first it returns why.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
