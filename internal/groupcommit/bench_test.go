package groupcommit_test

import (
	"context"
	"testing"

	"github.com/posthorn/posthorn/internal/groupcommit"
)

// BenchmarkDo measures the cost of sharing a commit for each of many callers, with a free commit.
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
