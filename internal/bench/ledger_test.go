package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLedger_TakesTheTimeFromSendingToTheFirstReception(t *testing.T) {
	t.Parallel()
	l := newLedger()
	h := l.addHook("acme", newPlace(), 0, 0)
	at := func(ms int) time.Time { return l.began.Add(time.Duration(ms) * time.Millisecond) }
	first, ok := l.take(3)
	require.True(t, ok)
	l.post(first, 3, at(10))
	h.receive(first, l.stamp(at(15)))
	h.receive(first, l.stamp(at(99))) // again
	h.receive(first+2, l.stamp(at(30)))
	later, _ := l.take(1)
	l.post(later, 1, at(40))
	h.receive(later, l.stamp(at(41)))
	require.Equal(t, []uint32{5000, 20_000}, l.latencies(h.first, first, later), "what has not arrived has none")
	require.Equal(t, []uint32{1000}, l.latencies(h.first, later, later+1))
}

func TestLedger_Ends(t *testing.T) {
	t.Parallel()
	l := newLedger()
	l.next.Store(maxEvents - 10)
	_, ok := l.take(10)
	require.True(t, ok)
	_, ok = l.take(1)
	require.False(t, ok)
}
