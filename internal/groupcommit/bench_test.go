package groupcommit_test

import (
	"context"
	"testing"

	"github.com/posthorn/posthorn/internal/groupcommit"
)

// BenchmarkDo is what sharing a commit costs each of many callers, the commit itself being free.
func BenchmarkDo(b *testing.B) {
	g := groupcommit.New(func(_ context.Context, items []int) ([]int, error) { return items, nil }, groupcommit.Options[int]{Flushes: 2})
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := g.Do(b.Context(), 1); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
