package models_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// made are the things with a limit for each tenant: how one is made and removed.
var made = map[string]struct {
	limit  func(*models.Tenant) **int64
	create func(t *testing.T, s *models.Store) (id string, err error)
	remove func(t *testing.T, s *models.Store, id string) error
}{
	"webhooks": {
		limit: func(t *models.Tenant) **int64 { return &t.MaxWebhooks },
		create: func(t *testing.T, s *models.Store) (string, error) {
			w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: "acme", Profile: "standard", Status: models.WebhookActive}
			return w.ID, s.CreateWebhook(t.Context(), &w)
		},
		remove: func(t *testing.T, s *models.Store, id string) error {
			_, err := s.DeleteWebhook(t.Context(), "acme", id)
			return err
		},
	},
	"keys": {
		limit: func(t *models.Tenant) **int64 { return &t.MaxKeys },
		create: func(t *testing.T, s *models.Store) (string, error) {
			k := models.APIKey{ID: models.NewID(models.PrefixKey), Tenant: "acme", Role: models.RoleRead}
			k.Hash = []byte(k.ID)
			return k.ID, s.CreateAPIKey(t.Context(), &k)
		},
		remove: func(t *testing.T, s *models.Store, id string) error { return s.RevokeAPIKey(t.Context(), "acme", id) },
	},
}

func (s *database) allow(t *testing.T, field func(*models.Tenant) **int64, most *int64) {
	t.Helper()
	_, err := s.UpdateTenant(t.Context(), "acme", func(tenant *models.Tenant) error {
		*field(tenant) = most
		return nil
	})
	require.NoError(t, err)
}

// Of ten calls for the last place, one gets it, in any process. A removed thing frees its place.
func TestTenantLimits_TheLastPlaceIsGivenOnce(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.Tenant(t, "acme")
		processes := []*models.Store{s.Store, s.Open(t), s.Open(t)}
		for kind, thing := range made {
			s.allow(t, thing.limit, new(int64(3)))
			var ids []string
			for range 2 {
				id, err := thing.create(t, s.Store)
				require.NoError(t, err)
				ids = append(ids, id)
			}
			race := func() {
				t.Helper()
				var created atomic.Int64
				var wg sync.WaitGroup
				for i := range 10 {
					wg.Go(func() {
						_, err := thing.create(t, processes[i%len(processes)])
						var full *models.FullError
						switch {
						case err == nil:
							created.Add(1)
						case !errors.As(err, &full) || *full != (models.FullError{Kind: kind, Limit: 3}):
							t.Error(err)
						}
					})
				}
				wg.Wait()
				require.Equal(t, int64(1), created.Load(), kind)
			}
			race()
			require.NoError(t, thing.remove(t, s.Store, ids[0]))
			require.ErrorIs(t, thing.remove(t, s.Store, ids[0]), models.ErrNotFound, "a place is left once")
			race()
		}
	})
}

// A limit below the current number removes nothing. A tenant without its own limit has the installation's.
func TestTenantLimits_ATenantsOwnLimitGoesBeforeTheInstallations(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.Tenant(t, "acme")
		strict, err := models.Open(t.Context(), s.URL, models.Options{Now: s.Clock.Now, MaxWebhooks: 2, MaxKeys: 2})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, strict.Close()) })
		for kind, thing := range made {
			full := func(limit int64) {
				t.Helper()
				_, err := thing.create(t, strict)
				require.Equal(t, &models.FullError{Kind: kind, Limit: limit}, err)
			}
			var first string
			for range 2 {
				first, err = thing.create(t, strict)
				require.NoError(t, err)
			}
			full(2)
			s.allow(t, thing.limit, new(int64(3)))
			_, err = thing.create(t, strict)
			require.NoError(t, err)
			full(3)
			s.allow(t, thing.limit, new(int64(1)))
			full(1)
			require.NoError(t, thing.remove(t, strict, first))
			full(1)
			s.allow(t, thing.limit, new(int64(0)))
			full(0)
			s.allow(t, thing.limit, nil)
			full(2)
		}
	})
}

// The counts are rebuilt after a change by a build that does not count, and when they have never been made.
func TestTenantLimits_CountsOfAnEarlierBuildAreMadeAgain(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.Tenant(t, "acme")
		w := s.Webhook(t, "acme")
		s.Webhook(t, "acme")
		for _, change := range []string{
			"UPDATE tenants SET counted = -1, webhook_count = 0, key_count = 0",                                           // as the migration leaves it
			"UPDATE tenants SET version = version + 1, webhook_count = 7",                                                 // an earlier build
			"UPDATE tenants SET version = version + 1, webhook_count = 0, counted = version - 5 WHERE deleted_at IS NULL", // some time ago
		} {
			require.NoError(t, s.DB().Exec(change).Error)
			s.allow(t, made["webhooks"].limit, new(int64(2)))
			_, err := made["webhooks"].create(t, s.Store)
			require.Equal(t, &models.FullError{Kind: "webhooks", Limit: 2}, err, change)
			require.NoError(t, s.DB().Exec(change).Error)
			require.NoError(t, made["webhooks"].remove(t, s.Store, w.ID), "it does not need the count")
			w = s.Webhook(t, "acme")
			_, err = made["webhooks"].create(t, s.Store)
			require.Equal(t, &models.FullError{Kind: "webhooks", Limit: 2}, err, change)
		}
	})
}

// Making one more costs the same statements, however many exist.
func TestTenantLimits_ALimitCostsNoCount(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.Tenant(t, "acme")
		s.Webhook(t, "acme")
		create := func() error {
			_, err := made["webhooks"].create(t, s.Store)
			return err
		}
		few, _ := s.parameters(t, create)
		s.crowdOfWebhooks(t, "acme", 0, 2000)
		many, _ := s.parameters(t, create)
		require.Equal(t, few, many)
		var tenant struct{ Version, Counted, WebhookCount int64 }
		require.NoError(t, s.DB().Table("tenants").Take(&tenant, "id = 'acme'").Error)
		require.Equal(t, tenant.Version, tenant.Counted)
		require.Equal(t, int64(3), tenant.WebhookCount, "those that came another way have not been counted")
	})
}

func TestTenantLimits_UpdateTenantWritesWhatChanges(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.Tenant(t, "acme")
		before, err := s.Store.Tenant(t.Context(), "acme")
		require.NoError(t, err)
		s.Clock.Advance(time.Second)
		same, err := s.UpdateTenant(t.Context(), "acme", func(*models.Tenant) error { return nil })
		require.NoError(t, err)
		require.Equal(t, before, same)
		changed, err := s.UpdateTenant(t.Context(), "acme", func(t *models.Tenant) error {
			t.Name, t.AdminEmails, t.MaxKeys = "", []string{}, new(int64(0))
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, s.Now(), changed.UpdatedAt)
		after, err := s.Store.Tenant(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, changed, after)
		_, err = s.PutTenant(t.Context(), &models.Tenant{ID: "acme", Name: "n", AdminEmails: []string{}})
		require.NoError(t, err)
		after, err = s.Store.Tenant(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, new(int64(0)), after.MaxKeys, "replacing a tenant leaves its limits")

		refused := errors.New("refused")
		_, err = s.UpdateTenant(t.Context(), "acme", func(t *models.Tenant) error { t.Name = "not this"; return refused })
		require.ErrorIs(t, err, refused)
		_, err = s.UpdateTenant(t.Context(), "nobody", func(*models.Tenant) error { return nil })
		require.ErrorIs(t, err, models.ErrNotFound)
		after, err = s.Store.Tenant(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, "n", after.Name)
	})
}
