package engine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
)

func TestSharedQueue_WebhooksTakeTurns(t *testing.T) {
	t.Parallel()
	var l sharedQueue
	add := func(webhook string, n int) {
		for i := range n {
			l.add(handoff.Work{Delivery: models.Delivery{WebhookID: webhook, ID: fmt.Sprintf("%s%d", webhook, i)}})
		}
	}
	take := func(most int) (ids []string) {
		for _, w := range l.take(most, nil) {
			ids = append(ids, w.Delivery.ID)
		}
		return ids
	}
	add("a", 1000)
	require.Equal(t, []string{"a0", "a1", "a2"}, take(3))
	add("b", 2)
	require.Equal(t, []string{"a3", "a4", "b0", "b1"}, take(4))
	add("b", 1)
	add("c", 5)
	require.Equal(t, []string{"a5", "b0", "c0"}, take(3), "an equal part of each")
	require.Equal(t, 994+4, l.len())
	require.Len(t, take(2000), 998)
	require.Zero(t, l.len())
	require.Empty(t, l.tenants)
	require.Zero(t, l.turns.Len())
	require.Empty(t, take(1))

	for i := range 10 { // more webhooks than there is room
		add(fmt.Sprint(i), 2)
	}
	first := take(4)
	require.Equal(t, []string{"00", "10", "20", "30"}, first)
	require.Equal(t, []string{"40", "50", "60", "70"}, take(4), "those who have not had a turn")
}

// BenchmarkSharedQueue measures the cost of queueing and taking a delivery behind a hundred thousand others.
func BenchmarkSharedQueue(b *testing.B) {
	for _, webhooks := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(webhooks), func(b *testing.B) {
			var l sharedQueue
			next := 0
			add := func() {
				l.add(handoff.Work{Delivery: models.Delivery{WebhookID: fmt.Sprint(next % webhooks)}})
				next++
			}
			for range 100_000 {
				add()
			}
			b.ResetTimer()
			for b.Loop() {
				for range models.MaxDispatch {
					add()
				}
				l.take(models.MaxDispatch, nil)
			}
		})
	}
}
