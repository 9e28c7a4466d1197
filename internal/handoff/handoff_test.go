package handoff_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func work(bytes int) []handoff.Work {
	return []handoff.Work{{Delivery: models.Delivery{ID: "dlv_1", CreatedAt: noon}, Event: &models.Event{Data: make([]byte, bytes)}}}
}

func desk(limit int, now time.Time) *handoff.Desk {
	return handoff.NewDesk(limit, func() time.Time { return now })
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestHandoff_WorkIsTakenOnceAndFollowedUntilDone(t *testing.T) {
	t.Parallel()
	d := desk(1<<20, noon)
	done := d.Put("evt_1", work(10))
	require.Len(t, d.Take("evt_1"), 1)
	require.Empty(t, d.Take("evt_1"))
	require.False(t, closed(done))
	d.Done("evt_1")
	d.Done("evt_1")
	require.True(t, closed(done))
	require.Empty(t, d.Take("evt_2"))
}

func TestHandoff_MemoryIsBoundedAndGivenBack(t *testing.T) {
	t.Parallel()
	d := desk(2000, noon)
	d.Put("evt_1", work(1000))
	done := d.Put("evt_2", work(1000))
	require.Empty(t, d.Take("evt_2"), "there was no room")
	d.Done("evt_2")
	require.True(t, closed(done), "it is still followed")
	require.Len(t, d.Take("evt_1"), 1)
	d.Put("evt_3", work(1000))
	require.Len(t, d.Take("evt_3"), 1)
}

func TestHandoff_WhatIsOldIsReadAgain(t *testing.T) {
	t.Parallel()
	d := desk(1<<20, noon.Add(11*time.Second))
	d.Put("evt_1", work(10))
	require.Empty(t, d.Take("evt_1"))
}
