package models_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestTenancy_PutTenantCreatesAndReplaces(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		first := models.Tenant{ID: "acme", Slug: "acme", Name: "Acme", AdminEmails: []string{"ops@example.com"}}
		created, err := s.PutTenant(t.Context(), &first)
		require.NoError(t, err)
		require.True(t, created)
		made := s.Now()
		require.Equal(t, models.Tenant{ID: "acme", Slug: "acme", Name: "Acme", AdminEmails: []string{"ops@example.com"}, CreatedAt: made, UpdatedAt: made}, first)

		w := s.Webhook(t, "acme")
		s.Clock.Advance(1e9)
		second := models.Tenant{ID: "acme", Slug: "acme", Name: "Acme Inc."}
		created, err = s.PutTenant(t.Context(), &second)
		require.NoError(t, err)
		require.False(t, created)
		want := models.Tenant{ID: "acme", Slug: "acme", Name: "Acme Inc.", Version: 1, CreatedAt: made, UpdatedAt: s.Now()}
		require.Equal(t, want, second)
		stored, err := s.Store.Tenant(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, want, stored)
		_, err = s.Store.Webhook(t.Context(), "acme", w.ID)
		require.NoError(t, err, "what it owns stays")
	})
}

func TestTenancy_OfSeveralPutTenantsAtOnceOneCreates(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		created := make(chan bool, 8)
		var wg sync.WaitGroup
		for range cap(created) {
			wg.Go(func() {
				c, err := s.PutTenant(t.Context(), &models.Tenant{ID: "acme", Name: "Acme"})
				if err != nil {
					t.Error(err)
				}
				created <- c
			})
		}
		wg.Wait()
		close(created)
		n := 0
		for c := range created {
			if c {
				n++
			}
		}
		require.Equal(t, 1, n)
		logged, _, err := s.AuditLog(t.Context(), models.AuditFilter{TenantSlug: "acme"}, models.Page{Limit: cap(created)})
		require.NoError(t, err)
		require.Len(t, logged, 1)
	})
}

// belongings creates one of everything for a tenant.
func (s *database) belongings(t *testing.T, tenant string) (models.Webhook, models.Delivery, models.Recovery) {
	t.Helper()
	w := s.Webhook(t, tenant)
	a := s.Acceptance(t, tenant, w)
	a.Key, a.BodyHash, a.Events[0].ExternalID = "key", []byte("hash"), "external"
	s.mustAccept(t, a)
	s.MustRecord(t, s.Attempted(a.Deliveries[0], models.Failed))
	s.judge(t, w, 2)
	r := models.Recovery{Tenant: tenant, WebhookID: w.ID, Statuses: heldAndFailed}
	require.NoError(t, s.CreateRecovery(t.Context(), &r))
	require.NoError(t, s.CreateErasure(t.Context(), &models.Erasure{Tenant: tenant, Attribute: "customer:nobody"}))
	require.NoError(t, s.CreateAPIKey(t.Context(), &models.APIKey{ID: "key_" + tenant, Tenant: tenant, Name: "k", Role: models.RoleTenant, Hash: []byte(tenant)}))
	require.NoError(t, s.CreateSession(t.Context(), s.link(tenant, "lnk_"+tenant)))
	require.NoError(t, s.PutEventTypes(t.Context(), []models.EventType{{Tenant: tenant, Name: "own"}}))
	require.NoError(t, s.PutSystemSettings(t.Context(), tenant, "im4", "{}"))
	require.NoError(t, s.NoteReplay(t.Context(), tenant, "att_1"))
	return w, s.Reload(t, a.Deliveries[0]), r
}

// Deleting a tenant takes the same rows as recording and deactivating do, which may be under way.
func TestTenancy_DeleteTenantWhileItsDeliveriesAreUnderWay(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		other := s.Open(t)
		for range 10 {
			tenant := s.Tenant(t, "acme")
			w := s.Webhook(t, tenant)
			var group []*models.Record
			for range 10 {
				group = append(group, s.Attempted(s.Publish(t, tenant, w)[0], models.Pending))
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := other.Record(t.Context(), group, nil); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if _, err := other.DeactivateWebhook(t.Context(), w.ID, 10, "gone"); err != nil && !errors.Is(err, models.ErrNotFound) {
					t.Error(err)
				}
			})
			require.NoError(t, s.DeleteTenant(t.Context(), tenant))
			s.runJobs(t)
			wg.Wait()
			for _, table := range []string{"deliveries", "attempts", "events", "notifications", "webhooks"} {
				require.Zero(t, s.Count(t, table), table)
			}
		}
	})
}

// A tenant's things do not exist for another tenant.
func TestTenancy_TenantsDoNotSeeEachOther(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w, d, r := s.belongings(t, s.Tenant(t, "acme"))
		mine, myDelivery, myRecovery := s.belongings(t, s.Tenant(t, "globex"))
		ctx := t.Context()
		erasure := models.Erasure{Tenant: "acme", Attribute: "customer:nobody"}
		require.NoError(t, s.CreateErasure(ctx, &erasure))
		theirs, _, err := s.Replay(ctx, "globex", myDelivery.EventID, []string{w.ID})
		require.NoError(t, err)
		require.Empty(t, theirs, "to another's webhook nothing is sent")
		recoveries, _, err := s.Recoveries(ctx, "globex", models.RecoveryFilter{}, models.Page{Limit: 100})
		require.NoError(t, err)
		require.Equal(t, []string{myRecovery.ID}, []string{recoveries[0].ID})
		require.Len(t, recoveries, 1)
		for name, read := range map[string]func() error{
			"Webhook":        func() error { _, err := s.Store.Webhook(ctx, "globex", w.ID); return err },
			"UpdateWebhook":  func() error { _, err := s.UpdateWebhook(ctx, "globex", w.ID, unchanged); return err },
			"DeleteWebhook":  func() error { _, err := s.DeleteWebhook(ctx, "globex", w.ID); return err },
			"Event":          func() error { _, err := s.Event(ctx, "globex", d.EventID); return err },
			"EraseEvent":     func() error { return s.EraseEvent(ctx, "globex", d.EventID) },
			"Delivery":       func() error { _, err := s.Delivery(ctx, "globex", d.ID); return err },
			"Recovery":       func() error { _, err := s.Recovery(ctx, "globex", r.ID); return err },
			"CancelRecovery": func() error { _, err := s.CancelRecovery(ctx, "globex", r.ID); return err },
			"Replay":         func() error { _, _, err := s.Replay(ctx, "globex", d.EventID, []string{w.ID}); return err },
			"Erasure":        func() error { _, err := s.Erasure(ctx, "globex", erasure.ID); return err },
			"RevokeLink":     func() error { return s.RevokeLink(ctx, "globex", "lnk_acme") },
			"RevokeAPIKey":   func() error { return s.RevokeAPIKey(ctx, "globex", "key_acme") },
			"ChangeDelivery": func() error {
				_, _, err := s.ChangeDelivery(ctx, "globex", d.ID, func(*models.Delivery, models.WebhookStatus) error { return nil })
				return err
			},
			"SetWebhookStatus": func() error {
				_, _, err := s.SetWebhookStatus(ctx, "globex", w.ID, models.StatusChange{To: models.WebhookPaused})
				return err
			},
			"SystemSettings":  func() error { _, err := s.SystemSettings(ctx, "nobody", "im4"); return err },
			"DeleteEventType": func() error { return s.DeleteEventType(ctx, "globex", "acme's") },
		} {
			require.ErrorIs(t, read(), models.ErrNotFound, name)
		}
		attempts, err := s.Attempts(ctx, "globex", d.ID)
		require.NoError(t, err)
		require.Empty(t, attempts)

		page := models.Page{Limit: 100}
		webhooks, _, err := s.Webhooks(ctx, "globex", models.WebhookFilter{}, page)
		require.NoError(t, err)
		require.Len(t, webhooks, 1)
		require.Equal(t, mine.ID, webhooks[0].ID)
		all, _, err := s.AllWebhooks(ctx, "globex")
		require.NoError(t, err)
		require.Len(t, all, 1)
		deliveries, _, err := s.Deliveries(ctx, "globex", models.DeliveryFilter{}, page)
		require.NoError(t, err)
		require.Equal(t, []models.Delivery{myDelivery}, deliveries)
		for _, f := range []models.DeliveryFilter{{WebhookID: w.ID}, {EventID: d.EventID}} {
			deliveries, _, err = s.Deliveries(ctx, "globex", f, page)
			require.NoError(t, err)
			require.Empty(t, deliveries)
		}
		events, _, err := s.Events(ctx, "globex", models.EventFilter{}, page)
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Equal(t, myDelivery.EventID, events[0].ID)
		keys, err := s.APIKeys(ctx, "globex")
		require.NoError(t, err)
		require.Len(t, keys, 1)
		require.Equal(t, "key_globex", keys[0].ID)
		types, err := s.EventTypes(ctx, "nobody")
		require.NoError(t, err)
		require.Empty(t, types)

		foreign := []models.DeliveryKey{{Tenant: "globex", ID: d.ID}, {Tenant: "globex", ID: d.EventID}}
		deliveries, err = s.DeliveriesByID(ctx, foreign)
		require.NoError(t, err)
		require.Empty(t, deliveries)
		byID, err := s.EventsByID(ctx, foreign)
		require.NoError(t, err)
		require.Empty(t, byID)
		require.Equal(t, d, s.Reload(t, d), "nothing has changed it")
	})
}

func unchanged(*models.Webhook) error { return nil }

func TestTenancy_WhatIsReadByKeyMayBeOfSeveralTenants(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		_, a, _ := s.belongings(t, s.Tenant(t, "acme"))
		_, b, _ := s.belongings(t, s.Tenant(t, "globex"))
		deliveries, err := s.DeliveriesByID(t.Context(), append(keysOf(a, b), models.DeliveryKey{Tenant: "acme", ID: "dlv_none"}))
		require.NoError(t, err)
		require.ElementsMatch(t, []models.Delivery{a, b}, deliveries)
		keyA, keyB := models.DeliveryKey{Tenant: "acme", ID: a.EventID}, models.DeliveryKey{Tenant: "globex", ID: b.EventID}
		events, err := s.EventsByID(t.Context(), []models.DeliveryKey{keyA, keyB})
		require.NoError(t, err)
		require.Len(t, events, 2)
		require.Equal(t, a.EventID, events[keyA].ID)
		require.Equal(t, []byte(`{"n": 1}`), events[keyB].Data)
	})
}

func TestTenancy_APIKeys(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.Tenant(t, "acme")
		key := models.APIKey{ID: "key_1", Tenant: "acme", Name: "ci", Role: models.RolePublish, Hash: []byte{1, 2, 3}}
		require.NoError(t, s.CreateAPIKey(t.Context(), &key))
		require.Equal(t, s.Now(), key.CreatedAt)
		got, err := s.APIKeyByHash(t.Context(), key.Hash)
		require.NoError(t, err)
		require.Equal(t, key, got)
		require.ErrorIs(t, s.CreateAPIKey(t.Context(), &models.APIKey{ID: "key_2", Tenant: "acme", Hash: key.Hash}), models.ErrConflict)
		require.ErrorIs(t, s.CreateAPIKey(t.Context(), &models.APIKey{ID: "key_3", Tenant: "nobody", Hash: []byte{4}}), models.ErrNotFound)

		require.NoError(t, s.RevokeAPIKey(t.Context(), "acme", key.ID))
		require.ErrorIs(t, s.RevokeAPIKey(t.Context(), "acme", key.ID), models.ErrNotFound)
		_, err = s.APIKeyByHash(t.Context(), key.Hash)
		require.ErrorIs(t, err, models.ErrNotFound)
		keys, err := s.APIKeys(t.Context(), "acme")
		require.NoError(t, err)
		require.Empty(t, keys)
	})
}

func TestTenancy_EventTypes(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.Tenant(t, "acme")
		s.Tenant(t, "globex")
		ctx := context.WithoutCancel(t.Context())
		require.NoError(t, s.PutEventTypes(ctx, nil))
		require.NoError(t, s.PutEventTypes(ctx, []models.EventType{{Name: "a", Title: "shared"}, {Name: "b", Title: "shared"}}))
		require.Zero(t, s.Version(t, "globex"), "no tenant has changed")
		require.Equal(t, int64(2), s.Version(t, ""), "but what all share has")
		require.NoError(t, s.PutEventTypes(ctx, []models.EventType{{Tenant: "acme", Name: "b", Title: "own"}, {Tenant: "acme", Name: "c", Title: "own"}}))
		require.Equal(t, int64(1), s.Version(t, "acme"))
		require.Zero(t, s.Version(t, "globex"))
		require.Equal(t, int64(2), s.Version(t, ""))

		titles := func(tenant string) map[string]string {
			types, err := s.EventTypes(ctx, tenant)
			require.NoError(t, err)
			titles := map[string]string{}
			for _, e := range types {
				titles[e.Name] = e.Title
			}
			return titles
		}
		require.Equal(t, map[string]string{"a": "shared", "b": "own", "c": "own"}, titles("acme"))
		require.Equal(t, map[string]string{"a": "shared", "b": "shared"}, titles("globex"))
		require.Equal(t, map[string]string{"a": "shared", "b": "shared"}, titles(""))

		made := s.Now()
		s.Clock.Advance(1e9)
		require.NoError(t, s.PutEventTypes(ctx, []models.EventType{{Name: "a", Title: "newer", Deprecated: true}}))
		types, err := s.EventTypes(ctx, "")
		require.NoError(t, err)
		require.Equal(t, models.EventType{Name: "a", Title: "newer", Deprecated: true, CreatedAt: made, UpdatedAt: s.Now()}, types[0])

		require.NoError(t, s.DeleteEventType(ctx, "acme", "b"))
		require.Equal(t, "shared", titles("acme")["b"])
		version := s.Version(t, "acme")
		require.ErrorIs(t, s.DeleteEventType(ctx, "acme", "b"), models.ErrNotFound)
		require.Equal(t, version, s.Version(t, "acme"))
		require.ErrorIs(t, s.PutEventTypes(ctx, []models.EventType{{Tenant: "nobody", Name: "x"}}), models.ErrNotFound)
	})
}
