// Package pause waits. It must not import any package of Posthorn.
package pause

import (
	"context"
	"time"
)

// For waits for d. If ctx ends first it returns why.
func For(ctx context.Context, d time.Duration) error { return Until(ctx, nil, d) }

// Until waits for a signal, but at most for a time. If ctx ends first it returns why.
func Until(ctx context.Context, signal <-chan struct{}, most time.Duration) error {
	if most <= 0 {
		return nil
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-signal:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
