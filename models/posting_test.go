package models_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// posting is another process on the same database, which makes first attempts that no dispatch drives.
func (s *database) posting(t *testing.T) *database {
	t.Helper()
	store, err := models.Open(t.Context(), s.URL, models.Options{Now: s.Clock.Now, FirstAttempts: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	p := &database{Store: store, URL: s.URL, Clock: s.Clock}
	p.PresenceClock(s.Clock.Now)
	return p
}

// A process keeps the deliveries that it POSTs as long as it runs, even when it gives up those that it could not start.
func TestPosting_WhatAProcessPOSTsOutlivesWhatItLetsGoOf(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		p := s.posting(t)
		_, ok := p.PostingID()
		require.False(t, ok, "it has not joined")
		require.NoError(t, p.Beat(t.Context()))
		posting, ok := p.PostingID()
		require.True(t, ok)
		first := p.ProcessID()
		require.NotContains(t, []int64{0, posting}, first)
		require.True(t, p.IsThis(first))
		require.True(t, p.IsThis(posting))
		require.False(t, p.IsThis(posting+first))
		require.False(t, p.IsThis(0))
		gone := func() []int64 {
			gone, err := p.ClaimGone(t.Context())
			require.NoError(t, err)
			return ids(gone)
		}
		require.Empty(t, gone(), "neither ends the other")

		p.LetGo()
		require.True(t, p.Owns(posting))
		require.NoError(t, p.Beat(t.Context()))
		require.NotEqual(t, first, p.ProcessID())
		require.Equal(t, []int64{first}, gone())
		again, ok := p.PostingID()
		require.True(t, ok)
		require.Equal(t, posting, again)

		s.Clock.Advance(4 * time.Second)
		_, ok = p.PostingID()
		require.False(t, ok, "others may take it for gone in a second")
		require.False(t, p.Owns(posting))
		require.NoError(t, p.Beat(t.Context()))
		require.True(t, p.Owns(posting), "nobody has")
	})
}

func TestPosting_AProcessThatLeavesLeavesItsPOSTs(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		p := s.posting(t)
		require.NoError(t, p.Join(t.Context(), "serve"))
		posting, _ := p.PostingID()
		main := p.ProcessID()
		require.NoError(t, p.Leave(t.Context()))
		gone, err := s.ClaimGone(t.Context())
		require.NoError(t, err)
		require.ElementsMatch(t, []int64{main, posting}, ids(gone))
		_, ok := p.PostingID()
		require.False(t, ok)
	})
}

// A store of a process that makes no such attempts has no id for them.
func TestPosting_MostProcessesPOSTNothingWithoutADispatch(t *testing.T) {
	t.Parallel()
	store, err := models.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "posthorn.db"), models.Options{})
	require.NoError(t, err)
	_, ok := store.PostingID()
	require.False(t, ok)
	require.NoError(t, store.Close())
}

// Several events that first attempts leave over get one dispatch. Deliveries that have failed for good get its name, and
// it does not drive them.
func TestPosting_WhatIsLeftOverOfSeveralEventsIsHandedOverTogether(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		p := s.process(t)
		rows := p.waiting(t, 5, w)
		named := func(d models.Delivery, id string, status models.DeliveryStatus) models.Delivery {
			record := s.Attempted(d, status)
			record.DispatchID = id
			s.MustRecord(t, record)
			d.DispatchID, d.Status = id, status
			return d
		}
		left := []models.Delivery{named(rows[0], "evt_a", models.Pending), named(rows[1], "evt_b", models.Pending), rows[2]}
		left[2].DispatchID = "evt_c" // was not attempted
		failed := named(rows[3], "evt_d", models.Failed)
		retried := named(rows[4], "evt_e", models.Pending)
		s.Clock.Advance(time.Second)
		fresh, err := s.TakeOver(t.Context(), []models.Delivery{retried}, s.Now().Add(time.Hour), 1)
		require.NoError(t, err)

		d, err := p.HandOver(t.Context(), "dsp_x", append(left, retried), []models.Delivery{failed})
		require.NoError(t, err)
		require.Len(t, d.Deliveries, 4)
		for _, row := range append(left, failed) {
			after := s.Reload(t, row)
			require.Equal(t, "dsp_x", after.DispatchID)
			require.Equal(t, row.Status, after.Status)
		}
		require.Equal(t, fresh[0].ID, s.Reload(t, retried).DispatchID)

		_, err = p.HandOver(t.Context(), "dsp_y", nil, []models.Delivery{s.Reload(t, failed)})
		require.NoError(t, err)
		require.Equal(t, "dsp_y", s.Reload(t, failed).DispatchID)
		_, err = s.Dispatch(t.Context(), "dsp_y")
		require.ErrorIs(t, err, models.ErrNotFound, "nothing is left to drive")
	})
}

// Deliveries that were not received get a dispatch that lists them and that they name. A delivery with another dispatch
// keeps it.
func TestPosting_WhatFirstAttemptsLeaveOverIsHandedOver(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		p := s.process(t)
		rows := p.waiting(t, 3, w)
		tried, untried, taken := rows[0], rows[1], rows[2]
		record := s.Attempted(tried, models.Pending)
		record.DispatchID = "dsp_x"
		s.MustRecord(t, record)
		s.Clock.Advance(time.Second)
		fresh, err := s.TakeOver(t.Context(), []models.Delivery{taken}, s.Now(), 1)
		require.NoError(t, err)
		require.Len(t, fresh, 1)

		d, err := p.HandOver(t.Context(), "dsp_x", rows, nil)
		require.NoError(t, err)
		require.Equal(t, p.ProcessID(), d.Process)
		require.Equal(t, "dsp_x", s.Reload(t, tried).DispatchID)
		require.Equal(t, "dsp_x", s.Reload(t, untried).DispatchID)
		require.Equal(t, fresh[0].ID, s.Reload(t, taken).DispatchID)
		n, err := s.ClaimShared(t.Context())
		require.NoError(t, err)
		require.Zero(t, n, "it is noted on all that it drives")
		s.Clock.Advance(time.Hour)
		require.Contains(t, s.overdue(t), "dsp_x")
	})
}
