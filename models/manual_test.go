package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// manual gives whether each attempt of a delivery was asked for, oldest first.
func (s *database) manual(tb testing.TB, d models.Delivery) (asked []bool) {
	tb.Helper()
	attempts, err := s.Attempts(tb.Context(), d.Tenant, d.ID)
	require.NoError(tb, err)
	for i := range attempts {
		asked = append(asked, attempts[i].Manual)
	}
	return asked
}

// again makes a delivery pending as somebody who asks for it does.
func (s *database) again(tb testing.TB, d models.Delivery) models.Delivery {
	tb.Helper()
	d, _, err := s.ChangeDelivery(tb.Context(), d.Tenant, d.ID, func(d *models.Delivery, _ models.WebhookStatus) error {
		d.Ask()
		d.Release(s.Now())
		return nil
	})
	require.NoError(tb, err)
	return d
}

// The first attempt after a retry, a replay or a recovery is one that somebody has asked for. Those of the schedule are not, nor
// is what a resumed webhook gets.
func TestManualAttempts_ThatWereAskedFor(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx := t.Context()
		w := s.Webhook(t, s.Tenant(t, "acme"))
		d := s.Publish(t, "acme", w)[0]
		s.MustRecord(t, s.Attempted(d, models.Failed))
		d = s.again(t, s.Reload(t, d))
		s.MustRecord(t, s.Attempted(d, models.Pending))
		s.MustRecord(t, s.Attempted(s.Reload(t, d), models.Delivered))
		require.Equal(t, []bool{false, true, false}, s.manual(t, d))

		_, _, err := s.Replay(ctx, "acme", d.EventID, []string{w.ID})
		require.NoError(t, err)
		s.MustRecord(t, s.Attempted(s.Reload(t, d), models.Failed))
		require.Equal(t, []bool{false, true, false, true}, s.manual(t, d))

		s.Clock.Advance(time.Minute)
		s.Recover(t, models.Recovery{Tenant: "acme", WebhookID: w.ID, Statuses: heldAndFailed})
		s.MustRecord(t, s.Attempted(s.Reload(t, d), models.Delivered))
		require.Equal(t, []bool{false, true, false, true, true}, s.manual(t, d))

		late := s.Webhook(t, "acme")
		missed, _ := s.Recover(t, models.Recovery{Tenant: "acme", WebhookID: late.ID, Missed: true})
		require.Equal(t, int64(1), missed.Released)
		made := s.ofWebhook(t, late)[0]
		s.MustRecord(t, s.Attempted(made, models.Delivered))
		require.Equal(t, []bool{true}, s.manual(t, made))
		newest := s.Webhook(t, "acme")
		_, _, err = s.Replay(ctx, "acme", d.EventID, []string{newest.ID})
		require.NoError(t, err)
		made = s.ofWebhook(t, newest)[0]
		s.MustRecord(t, s.Attempted(made, models.Delivered))
		require.Equal(t, []bool{true}, s.manual(t, made))

		held := s.deliveryOf(t, w, models.Held)
		s.Clock.Advance(time.Minute)
		s.Recover(t, models.Recovery{Tenant: "acme", WebhookID: w.ID, Statuses: heldAndFailed[:1], Reason: models.HeldReason(models.WebhookPaused)})
		s.MustRecord(t, s.Attempted(s.Reload(t, held), models.Delivered))
		require.Equal(t, []bool{false}, s.manual(t, held))
	})
}

// A POST that was in flight when somebody asked is not the one that was asked for.
func TestManualAttempts_AnAttemptInFlightWasNotAskedFor(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		d := s.Publish(t, "acme", w)[0]
		flying := s.Attempted(d, models.Pending)
		asked := s.again(t, s.Reload(t, d))
		s.MustRecord(t, flying)
		s.MustRecord(t, s.Attempted(asked, models.Delivered))
		require.Equal(t, []bool{false, true}, s.manual(t, d))
	})
}
