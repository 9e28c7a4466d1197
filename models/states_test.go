package models_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// deliveryIn returns a delivery of a new webhook in the status, reached in the normal way.
func (s *database) deliveryIn(t *testing.T, tenant string, status models.DeliveryStatus) models.Delivery {
	t.Helper()
	d := s.Publish(t, tenant, s.Webhook(t, tenant))[0]
	switch status {
	case models.Delivered, models.Failed:
		require.True(t, s.MustRecord(t, s.Attempted(d, status))[0].Applied)
	case models.Held:
		require.NoError(t, s.HoldDelivery(t.Context(), &d, models.WebhookPaused))
	case models.Canceled:
		require.NoError(t, s.CancelDelivery(t.Context(), &d, "not wanted"))
	}
	d = s.Reload(t, d)
	require.Equal(t, status, d.Status)
	return d
}

var statuses = []models.DeliveryStatus{models.Pending, models.Delivered, models.Failed, models.Held, models.Canceled}

// Everything that can happen to a delivery, in every status it can be in. What is not in to leaves it as it is.
func TestDeliveryStates_EveryArrowAndNoOther(t *testing.T) {
	type arrows map[models.DeliveryStatus]models.DeliveryStatus
	hold := arrows{models.Pending: models.Held}
	cancel := arrows{models.Pending: models.Canceled, models.Held: models.Canceled}
	recorded := func(status models.DeliveryStatus) func(*testing.T, *database, models.Delivery) {
		return func(t *testing.T, s *database, d models.Delivery) {
			applied := s.MustRecord(t, s.Attempted(d, status))[0].Applied
			require.Equal(t, d.Status == models.Pending || d.Status == models.Held && status == models.Delivered, applied)
		}
	}
	setStatus := func(to models.WebhookStatus) func(*testing.T, *database, models.Delivery) {
		return func(t *testing.T, s *database, d models.Delivery) {
			_, changed, err := s.SetWebhookStatus(t.Context(), d.Tenant, d.WebhookID, models.StatusChange{To: to})
			require.NoError(t, err)
			require.True(t, changed)
		}
	}
	events := []struct {
		name   string
		happen func(*testing.T, *database, models.Delivery)
		to     arrows
		inside bool // the engine's own change: the generation stays
	}{
		{"received", recorded(models.Delivered), arrows{models.Pending: models.Delivered, models.Held: models.Delivered}, true},
		{"failed for good", recorded(models.Failed), arrows{models.Pending: models.Failed}, true},
		{"failed, another attempt follows", recorded(models.Pending), arrows{models.Pending: models.Pending}, true},
		{"put aside", func(t *testing.T, s *database, d models.Delivery) {
			require.NoError(t, s.HoldDelivery(t.Context(), &d, models.WebhookPaused))
		}, hold, false},
		{"webhook paused", setStatus(models.WebhookPaused), hold, false},
		{"webhook disabled", setStatus(models.WebhookDisabled), hold, false},
		{"webhook deactivated", func(t *testing.T, s *database, d models.Delivery) {
			_, err := s.DeactivateWebhook(t.Context(), d.WebhookID, 10, "gone")
			require.NoError(t, err)
		}, hold, false},
		{"canceled", func(t *testing.T, s *database, d models.Delivery) {
			require.NoError(t, s.CancelDelivery(t.Context(), &d, "not wanted"))
		}, cancel, false},
		{"webhook deleted", func(t *testing.T, s *database, d models.Delivery) {
			_, err := s.DeleteWebhook(t.Context(), d.Tenant, d.WebhookID)
			require.NoError(t, err)
		}, cancel, false},
		{"payload erased", func(t *testing.T, s *database, d models.Delivery) {
			require.NoError(t, s.EraseEvent(t.Context(), d.Tenant, d.EventID))
		}, cancel, false},
		{"recovered", func(t *testing.T, s *database, d models.Delivery) {
			s.Clock.Advance(time.Second)
			s.Recover(t, models.Recovery{Tenant: d.Tenant, WebhookID: d.WebhookID, Statuses: []models.DeliveryStatus{models.Held, models.Failed}})
		}, arrows{models.Held: models.Pending, models.Failed: models.Pending}, false},
		{"dispatched again", func(t *testing.T, s *database, d models.Delivery) {
			s.Clock.Advance(time.Hour)
			_, err := redispatch(t.Context(), s.Store, []string{d.DispatchID}, s.Now().Add(-time.Minute), 100)
			require.NoError(t, err)
		}, arrows{models.Pending: models.Pending}, false},
	}
	stores(t, func(t *testing.T, s *database) {
		for _, event := range events {
			t.Run(event.name, func(t *testing.T) {
				tenant := s.Tenant(t, event.name)
				for _, from := range statuses {
					before := s.deliveryIn(t, tenant, from)
					event.happen(t, s, before)
					after := s.Reload(t, before)

					to, moves := event.to[from]
					if !moves {
						to = from
					}
					require.Equal(t, to, after.Status, "from %s", from)
					if moves && !event.inside {
						require.Equal(t, before.Generation+1, after.Generation, "from %s", from)
					} else {
						require.Equal(t, before.Generation, after.Generation, "from %s", from)
					}
					require.Equal(t, to == models.Pending, after.NextAttemptAt != nil, "a next attempt only if one is due: from %s", from)
					require.Equal(t, to != models.Pending && to != models.Held, after.FinishedAt != nil, "finished: from %s", from)
				}
			})
		}
	})
}

// A caller with a generation that is not current changes nothing. Its attempt was still made, and stays on record.
func TestDeliveryStates_AStaleGenerationOnlyLeavesItsAttempt(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		stale := s.Publish(t, tenant, w)[0]
		current, _, err := s.ChangeDelivery(t.Context(), tenant, stale.ID, func(d *models.Delivery, _ models.WebhookStatus) error {
			d.Release(s.Now())
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 1, current.Generation)

		for n, status := range []models.DeliveryStatus{models.Failed, models.Pending} {
			s.Clock.Advance(time.Second)
			require.False(t, s.MustRecord(t, s.Attempted(stale, status))[0].Applied)
			after := s.Reload(t, stale)
			require.Equal(t, n+1, after.Attempts)
			after.Attempts = current.Attempts
			require.Equal(t, current, after)
		}
		require.NoError(t, s.HoldDelivery(t.Context(), &stale, models.WebhookPaused))
		require.NoError(t, s.CancelDelivery(t.Context(), &stale, "not wanted"))
		require.Equal(t, models.Pending, s.Reload(t, stale).Status)

		attempts, err := s.Attempts(t.Context(), tenant, stale.ID)
		require.NoError(t, err)
		require.Len(t, attempts, 2)
		for i, a := range attempts {
			require.Equal(t, i+1, a.Number)
		}
	})
}

// A POST that was on its way when its delivery was dispatched again or put aside, and was received, is not made again.
func TestDeliveryStates_ReceivedUnderAStaleGenerationIsDelivered(t *testing.T) {
	changes := map[string]func(*testing.T, *database, models.Delivery){
		"dispatched again": func(t *testing.T, s *database, d models.Delivery) {
			s.Clock.Advance(time.Hour)
			fresh, err := redispatch(t.Context(), s.Store, []string{d.DispatchID}, s.Now().Add(-time.Minute), 100)
			require.NoError(t, err)
			require.Len(t, fresh, 1)
		},
		"paused": func(t *testing.T, s *database, d models.Delivery) {
			_, _, err := s.SetWebhookStatus(t.Context(), d.Tenant, d.WebhookID, models.StatusChange{To: models.WebhookPaused})
			require.NoError(t, err)
		},
	}
	stores(t, func(t *testing.T, s *database) {
		for name, change := range changes {
			t.Run(name, func(t *testing.T) {
				tenant := s.Tenant(t, name)
				stale := s.Publish(t, tenant, s.Webhook(t, tenant))[0]
				change(t, s, stale)
				current := s.Reload(t, stale)
				require.Equal(t, stale.Generation+1, current.Generation)

				record := s.Attempted(stale, models.Delivered)
				require.True(t, s.MustRecord(t, record)[0].Applied)
				after := s.Reload(t, stale)
				require.Equal(t, models.Delivered, after.Status)
				require.Empty(t, after.StatusReason)
				require.Nil(t, after.NextAttemptAt)
				require.NotNil(t, after.FinishedAt)
				require.Equal(t, 1, after.Attempts)
				require.Equal(t, 1, record.Attempt.Number)
				require.Equal(t, current.DispatchID, after.DispatchID, "the one that drives it now finds it delivered")
			})
		}
	})
}

func TestDeliveryStates_AnAttemptOfAFinishedDeliveryCountsOn(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		for _, status := range []models.DeliveryStatus{models.Delivered, models.Failed, models.Canceled} {
			before := s.deliveryIn(t, tenant, status)
			require.False(t, s.MustRecord(t, s.Attempted(before, models.Delivered))[0].Applied)
			attempts, err := s.Attempts(t.Context(), tenant, before.ID)
			require.NoError(t, err)
			require.Len(t, attempts, before.Attempts+1)
			require.Equal(t, before.Attempts+1, attempts[before.Attempts].Number)
		}
	})
}

func TestDeliveryStates_ChangeDeliveryWritesTheDispatchThatDrivesIt(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		failed := s.deliveryIn(t, tenant, models.Failed)
		s.Clock.Advance(time.Hour)

		d, dispatch, err := s.ChangeDelivery(t.Context(), tenant, failed.ID, func(d *models.Delivery, w models.WebhookStatus) error {
			require.Equal(t, models.WebhookActive, w)
			d.Release(s.Now())
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, models.Pending, d.Status)
		require.Zero(t, d.Failures, "the schedule begins again")
		require.Equal(t, 1, d.Attempts, "what has been made counts on")
		require.Equal(t, dispatch.ID, d.DispatchID)
		require.Contains(t, dispatch.ID, failed.EventID, "found in the Web UI by its event")
		require.Equal(t, s.Now(), *d.NextAttemptAt)
		require.Equal(t, d, s.Reload(t, failed))

		stored, err := s.Dispatch(t.Context(), dispatch.ID)
		require.NoError(t, err)
		require.Equal(t, dispatch.ID, stored.ID)
		require.Equal(t, []models.DeliveryKey{{Tenant: tenant, ID: d.ID}}, stored.Deliveries)

		again, second, err := s.ChangeDelivery(t.Context(), tenant, failed.ID, func(d *models.Delivery, _ models.WebhookStatus) error {
			d.Release(s.Now())
			return nil
		})
		require.NoError(t, err)
		require.NotEqual(t, dispatch.ID, second.ID, "another workflow for another generation")
		require.Equal(t, d.Generation+1, again.Generation)

		held, none, err := s.ChangeDelivery(t.Context(), tenant, failed.ID, func(d *models.Delivery, _ models.WebhookStatus) error {
			d.Hold()
			return nil
		})
		require.NoError(t, err)
		require.Nil(t, none)
		require.Equal(t, models.Held, held.Status)
	})
}

func TestDeliveryStates_ChangeDeliveryRefusedLeavesEverythingAsItIs(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		before := s.deliveryIn(t, tenant, models.Delivered)
		dispatches := s.Count(t, "dispatches")
		refused := errors.New("delivered already")
		_, dispatch, err := s.ChangeDelivery(t.Context(), tenant, before.ID, func(d *models.Delivery, _ models.WebhookStatus) error {
			d.Release(s.Now())
			return refused
		})
		require.ErrorIs(t, err, refused)
		require.Nil(t, dispatch)
		require.Equal(t, before, s.Reload(t, before))
		require.Equal(t, dispatches, s.Count(t, "dispatches"))

		_, _, err = s.ChangeDelivery(t.Context(), "other", before.ID, func(*models.Delivery, models.WebhookStatus) error { return nil })
		require.ErrorIs(t, err, models.ErrNotFound)
	})
}

func TestDeliveryStates_ChangeDeliveryIsToldWhenTheWebhookIsGone(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		d := s.deliveryIn(t, tenant, models.Failed)
		_, err := s.DeleteWebhook(t.Context(), tenant, d.WebhookID)
		require.NoError(t, err)
		gone := errors.New("gone")
		_, _, err = s.ChangeDelivery(t.Context(), tenant, d.ID, func(_ *models.Delivery, w models.WebhookStatus) error {
			require.Empty(t, w)
			return gone
		})
		require.ErrorIs(t, err, gone)
	})
}

// A change from outside and a record happen at once. Whichever is first, the delivery is canceled or delivered, never
// both.
func TestDeliveryStates_OfACancelAndARecordAtOnceOneWins(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		for range 20 {
			d := s.Publish(t, tenant, w)[0]
			applied := make(chan bool)
			go func() {
				results, err := s.Record(t.Context(), []*models.Record{s.Attempted(d, models.Delivered)}, nil)
				applied <- err == nil && results[0].Applied
			}()
			require.NoError(t, s.CancelDelivery(t.Context(), &d, "not wanted"))
			want := models.Canceled
			if <-applied {
				want = models.Delivered
			}
			after := s.Reload(t, d)
			require.Equal(t, want, after.Status)
			require.Equal(t, 1, after.Attempts)
		}
	})
}
