package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// Attempts and deliveries are found by the channel and the tag of their event, and of no other tenant's.
func TestAttemptLabels_AttemptsAndDeliveriesByLabels(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		foreign := s.Webhook(t, s.Tenant(t, "globex"))
		publish := func(w models.Webhook, channels, tags []string) (delivery, attempt string) {
			a := s.Acceptance(t, w.Tenant, w)
			a.Events[0].Channels, a.Events[0].Tags = channels, tags
			s.mustAccept(t, a)
			return a.Deliveries[0].ID, s.attempt(t, a.Deliveries[0], models.Delivered)
		}
		plainDelivery, plain := publish(w, nil, nil)
		euDelivery, eu := publish(w, []string{"eu", "de"}, []string{"big"})
		usDelivery, us := publish(w, []string{"us"}, []string{"big"})
		publish(foreign, []string{"eu"}, []string{"big"})
		for _, tt := range []struct {
			channel, tag         string
			attempts, deliveries []string
		}{
			{"", "", []string{us, eu, plain}, []string{usDelivery, euDelivery, plainDelivery}},
			{"eu", "", []string{eu}, []string{euDelivery}},
			{"", "big", []string{us, eu}, []string{usDelivery, euDelivery}},
			{"us", "big", []string{us}, []string{usDelivery}},
			{"big", "", nil, nil},
		} {
			attempts := func(p models.Page) ([]string, string, error) {
				rows, next, err := s.ListAttempts(t.Context(), tenant, models.AttemptFilter{WebhookID: w.ID, Channel: tt.channel, Tag: tt.tag}, p)
				return idsOf(rows, next, err, func(a models.ListedAttempt) string { return a.ID })
			}
			require.Equal(t, tt.attempts, pages(t, len(tt.attempts), attempts), "%s %s", tt.channel, tt.tag)
			deliveries := s.listDeliveries(t, models.DeliveryFilter{WebhookID: w.ID, Channel: tt.channel, Tag: tt.tag})
			require.Equal(t, tt.deliveries, pages(t, len(tt.deliveries), deliveries), "%s %s", tt.channel, tt.tag)
		}
		_, cursor, err := s.Deliveries(t.Context(), tenant, models.DeliveryFilter{Tag: "big"}, models.Page{Limit: 1})
		require.NoError(t, err)
		_, _, err = s.Deliveries(t.Context(), tenant, models.DeliveryFilter{Channel: "big"}, models.Page{Limit: 1, After: cursor})
		require.ErrorIs(t, err, models.ErrBadCursor)
	})
}

func TestAttemptLabels_AnAnswerIsErased(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.Tenant(t, "globex")
		d := s.answered(t, w, "order.created", "4711", models.Delivered)
		other := s.answered(t, w, "order.created", "4712", models.Delivered)
		read := func(d models.Delivery) models.Attempt {
			all, err := s.Attempts(t.Context(), "acme", d.ID)
			require.NoError(t, err)
			return all[0]
		}
		before := read(d)
		require.ErrorIs(t, s.EraseAnswer(t.Context(), "globex", before.ID), models.ErrNotFound)
		require.ErrorIs(t, s.EraseAnswer(t.Context(), "acme", "att_none"), models.ErrNotFound)
		for range 2 {
			require.NoError(t, s.EraseAnswer(t.Context(), "acme", before.ID))
		}
		before.ResponseBody, before.ResponseHeaders, before.Detail = []byte(models.AnswerErased), map[string]string{}, models.AttemptDetail{}
		require.Equal(t, before, read(d))
		require.Equal(t, "the answer", string(read(other).ResponseBody))
		require.Len(t, s.entries(t, models.AuditFilter{Action: models.AuditAttemptErased}), 1)
	})
}

func TestAttemptLabels_WhatIsPendingIsCounted(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w, other := s.Webhook(t, tenant), s.Webhook(t, tenant)
		since := s.Now()
		s.Clock.Advance(time.Second)
		for range 3 {
			s.Publish(t, tenant, w, other)
		}
		s.attempt(t, s.Publish(t, tenant, w)[0], models.Pending)
		s.attempt(t, s.Publish(t, tenant, w)[0], models.Delivered)
		s.Clock.Advance(time.Second)
		count := func(since, until time.Time, most int) []int64 {
			untried, tried, err := s.CountPending(t.Context(), tenant, w.ID, since, until, most)
			require.NoError(t, err)
			return []int64{untried, tried}
		}
		require.Equal(t, []int64{3, 1}, count(since, s.Now(), 10))
		few := count(since, s.Now(), 2)
		require.Equal(t, int64(2), few[0]+few[1])
		require.Equal(t, []int64{0, 0}, count(since.Add(-time.Hour), since, 10))
	})
}

// The lists of recoveries and of erasures go both ways, from a key too, within a tenant and over all of them.
func TestAttemptLabels_ListsOfWorkGoBothWays(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w, foreign := s.Webhook(t, tenant), s.Webhook(t, s.Tenant(t, "globex"))
		var recoveries, erasures []string
		for _, w := range []models.Webhook{w, foreign, w} {
			r := models.Recovery{Tenant: w.Tenant, WebhookID: w.ID, Statuses: heldAndFailed}
			require.NoError(t, s.CreateRecovery(t.Context(), &r))
			x := models.Erasure{Tenant: w.Tenant, EventTypes: []string{"order.*"}}
			require.NoError(t, s.CreateErasure(t.Context(), &x))
			recoveries, erasures = append(recoveries, r.ID), append(erasures, x.ID)
		}
		for want, list := range map[*[]string]func(tenant string) pageOf{
			&recoveries: func(tenant string) pageOf {
				return func(p models.Page) ([]string, string, error) {
					rows, next, err := s.Recoveries(t.Context(), tenant, models.RecoveryFilter{}, p)
					return idsOf(rows, next, err, func(r models.Recovery) string { return r.ID })
				}
			},
			&erasures: func(tenant string) pageOf {
				return func(p models.Page) ([]string, string, error) {
					rows, next, err := s.Erasures(t.Context(), tenant, p)
					return idsOf(rows, next, err, func(x models.Erasure) string { return x.ID })
				}
			},
		} {
			all := *want
			require.Equal(t, []string{all[2], all[1], all[0]}, pages(t, 3, list("")))
			require.Equal(t, []string{all[2], all[0]}, pages(t, 2, list(tenant)))
			for _, tt := range []struct {
				page models.Page
				want []string
			}{
				{models.Page{Limit: 5, Reverse: true}, all},
				{models.Page{Limit: 5, Key: []string{all[1]}}, all[:1]},
				{models.Page{Limit: 5, Key: []string{all[1]}, Reverse: true}, all[2:]},
			} {
				rows, _, err := list("")(tt.page)
				require.NoError(t, err)
				require.Equal(t, tt.want, rows)
			}
		}
		r, err := s.Recovery(t.Context(), "", recoveries[1])
		require.NoError(t, err)
		require.Equal(t, foreign.ID, r.WebhookID)
		_, err = s.Recovery(t.Context(), tenant, recoveries[1])
		require.ErrorIs(t, err, models.ErrNotFound)
		_, err = s.Erasure(t.Context(), tenant, erasures[1])
		require.ErrorIs(t, err, models.ErrNotFound)
		require.NoError(t, s.DeleteTenant(t.Context(), foreign.Tenant))
		_, err = s.Erasure(t.Context(), "", erasures[1])
		require.ErrorIs(t, err, models.ErrNotFound, "it is of a tenant that has been deleted")
	})
}
