package fairqueue_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/fairqueue"
)

func TestFairQueue_KeysTakeTurns(t *testing.T) {
	t.Parallel()
	var q fairqueue.Queue[string, int]
	for i := range 4 {
		q.Push("a", i)
	}
	q.Push("b", 10)
	q.Push("c", 20)
	q.Push("c", 21)
	require.Equal(t, 7, q.Len())
	require.Equal(t, 3, q.Keys())
	require.Equal(t, 4, q.Of("a"))
	require.Zero(t, q.Of("d"))
	key, item := q.Peek()
	require.Equal(t, "a", key)
	require.Zero(t, item)

	var got []int
	for q.Len() > 0 {
		got = append(got, q.Pop())
	}
	require.Equal(t, []int{0, 10, 20, 1, 21, 2, 3}, got)
	require.Zero(t, q.Keys())
}

func TestFairQueue_ManyOfOneKeyAreTakenInOneTurn(t *testing.T) {
	t.Parallel()
	var q fairqueue.Queue[string, int]
	for i := range 5 {
		q.Push("a", i)
		q.Push("b", 10+i)
	}
	got := q.PopMany(nil, 3)
	got = q.PopMany(got, 100)
	got = q.PopMany(got, 100)
	require.Equal(t, []int{0, 1, 2, 10, 11, 12, 13, 14, 3, 4}, got)
	require.Zero(t, q.Len())
	q.Push("a", 7)
	require.Equal(t, 7, q.Pop(), "it can be used again")
}

// BenchmarkQueue measures the cost of queueing and taking an item behind a hundred thousand others of a thousand keys.
func BenchmarkQueue(b *testing.B) {
	var q fairqueue.Queue[int, int]
	for i := range 100_000 {
		q.Push(i%1000, i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		q.Push(i%1000, i)
		q.Pop()
		i++
	}
}

// A queue returns all its items: each key's items in their order, and no key twice before another waiting key.
func TestFairQueue_AnyMixtureComesOutFairly(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2)) // the same mixture each time
	var q fairqueue.Queue[int, [2]int]
	pushed, popped, n := map[int]int{}, map[int]int{}, 0
	for range 20_000 {
		if random.IntN(100) < 49 || n == 0 {
			key := random.IntN(1 + random.IntN(100))
			q.Push(key, [2]int{key, pushed[key]})
			pushed[key]++
			n++
		} else {
			key, next := q.Peek()
			got := q.Pop()
			require.Equal(t, next, got)
			require.Equal(t, [2]int{key, popped[key]}, got)
			popped[key]++
			n--
			if other, _ := peek(&q); q.Keys() > 1 {
				require.NotEqual(t, key, other, "its turn is over")
			}
		}
		require.Equal(t, n, q.Len())
		keys := 0
		for key := range pushed {
			require.Equal(t, pushed[key]-popped[key], q.Of(key))
			if q.Of(key) > 0 {
				keys++
			}
		}
		require.Equal(t, keys, q.Keys())
	}
}

func peek(q *fairqueue.Queue[int, [2]int]) (key int, item [2]int) {
	if q.Len() == 0 {
		return 0, item
	}
	return q.Peek()
}
