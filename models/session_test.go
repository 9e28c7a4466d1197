package models_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// link is a portal link, which lasts an hour and whose code is good for a minute.
func (s *database) link(tenant, id string) *models.Session {
	return &models.Session{ID: id, Tenant: tenant, Kind: models.SessionLink, Name: "jane", Role: models.RoleRead, Capabilities: []string{"keys"},
		Theme: map[string]string{"accent": "#112233"}, Code: new("code of " + id), Token: new("token of " + id),
		CodeUntil: s.Now().Add(time.Minute), ExpiresAt: s.Now().Add(time.Hour)}
}

func (s *database) inForce(t *testing.T, secret, hash string) bool {
	t.Helper()
	_, err := s.SessionBy(t.Context(), secret, hash)
	if err != nil {
		require.ErrorIs(t, err, models.ErrNotFound)
	}
	return err == nil
}

func TestSessions_ACodeIsRedeemedOnce(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		made := s.link(tenant, "lnk_1")
		require.NoError(t, s.CreateSession(t.Context(), made))
		got, err := s.SessionBy(t.Context(), models.ByCode, "code of lnk_1")
		require.NoError(t, err)
		require.Equal(t, *made, got)
		require.False(t, s.inForce(t, models.ByCookie, "cookie"))

		require.NoError(t, s.RedeemCode(t.Context(), "lnk_1", "cookie", "proof"))
		require.ErrorIs(t, s.RedeemCode(t.Context(), "lnk_1", "another", "proof"), models.ErrNotFound)
		require.True(t, s.inForce(t, models.ByCookie, "cookie"))

		require.NoError(t, s.EndSession(t.Context(), "lnk_1"))
		require.False(t, s.inForce(t, models.ByCookie, "cookie"))
		require.True(t, s.inForce(t, models.ByToken, "token of lnk_1"))
		require.ErrorIs(t, s.RedeemCode(t.Context(), "lnk_1", "another", ""), models.ErrNotFound, "the code stays used")

		require.NoError(t, s.CreateSession(t.Context(), s.link(tenant, "lnk_2")))
		s.Clock.Advance(time.Minute)
		require.ErrorIs(t, s.RedeemCode(t.Context(), "lnk_2", "late", ""), models.ErrNotFound, "too late")
	})
}

func TestSessions_End(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx, tenant, other := t.Context(), s.Tenant(t, "acme"), s.Tenant(t, "globex")
		require.NoError(t, s.CreateAPIKey(ctx, &models.APIKey{ID: "key_1", Tenant: tenant, Name: "k", Role: models.RoleTenant, Hash: []byte("1")}))
		add := func(tenant, id, key string) {
			x := s.link(tenant, id)
			x.KeyID = key
			require.NoError(t, s.CreateSession(ctx, x))
		}
		tokens := func() (alive []string) {
			for _, id := range []string{"a", "b", "c", "d", "e"} {
				if s.inForce(t, models.ByToken, "token of "+id) {
					alive = append(alive, id)
				}
			}
			return alive
		}
		add(tenant, "a", "")
		add(tenant, "b", "")
		add(tenant, "c", "key_1")
		add(other, "d", "")
		require.Equal(t, []string{"a", "b", "c", "d"}, tokens())

		require.NoError(t, s.RevokeLink(ctx, tenant, "a"))
		require.ErrorIs(t, s.RevokeLink(ctx, tenant, "a"), models.ErrNotFound)
		require.Equal(t, []string{"b", "c", "d"}, tokens())

		require.NoError(t, s.RevokeAPIKey(ctx, tenant, "key_1"))
		require.Equal(t, []string{"b", "d"}, tokens())

		require.NoError(t, s.RevokeLinks(ctx, tenant))
		require.Equal(t, []string{"d"}, tokens())
		require.ErrorIs(t, s.RevokeLink(ctx, tenant, "b"), models.ErrNotFound)
		require.NoError(t, s.RevokeLinks(ctx, tenant), "there is none any more")
		require.ErrorIs(t, s.RevokeLinks(ctx, "nobody"), models.ErrNotFound)
		revoked := slices.DeleteFunc(actions(s.entries(t, models.AuditFilter{Tenant: tenant})), func(a models.AuditAction) bool {
			return a != models.AuditPortalLinkRevoked && a != models.AuditPortalLinksRevoked
		})
		require.Equal(t, []models.AuditAction{models.AuditPortalLinksRevoked, models.AuditPortalLinkRevoked}, revoked, "and no entry without a change")

		for _, id := range []string{"x", "y", "z"} {
			x := s.link(tenant, id)
			x.Name = "session " + id
			require.NoError(t, s.CreateSession(ctx, x))
		}
		named := func() (alive []string) {
			for _, id := range []string{"x", "y", "z"} {
				if s.inForce(t, models.ByToken, "token of "+id) {
					alive = append(alive, id)
				}
			}
			return alive
		}
		require.NoError(t, s.EndLinks(ctx, tenant, []string{"session x", "session none"}, s.Clock.Now()))
		require.Equal(t, []string{"y", "z"}, named())
		require.NoError(t, s.EndLinks(ctx, tenant, []string{"session y"}, s.Clock.Now().Add(time.Second)))
		require.Equal(t, []string{"y", "z"}, named(), "not yet")
		s.Clock.Advance(time.Second)
		require.Equal(t, []string{"z"}, named())
		require.NoError(t, s.EndLinks(ctx, tenant, nil, s.Clock.Now().Add(48*time.Hour)))
		require.NoError(t, s.EndLinks(ctx, tenant, nil, s.Clock.Now()))
		require.Empty(t, named())
		require.Equal(t, []string{"d"}, tokens(), "another tenant's stay")
		require.ErrorIs(t, s.EndLinks(ctx, "nobody", nil, s.Clock.Now()), models.ErrNotFound)
		require.Len(t, s.entries(t, models.AuditFilter{Tenant: tenant, Action: models.AuditPortalLinksRevoked}), 4, "none of a call that changes nothing")

		add(tenant, "e", "")
		require.Equal(t, []string{"d", "e"}, tokens(), "new ones work")
		require.NoError(t, s.DeleteTenant(ctx, tenant))
		require.Equal(t, []string{"d"}, tokens())
		require.ErrorIs(t, s.CreateSession(ctx, s.link(tenant, "f")), models.ErrNotFound)

		s.Clock.Advance(time.Hour)
		require.Empty(t, tokens(), "they expire")
		s.expire(t, 2)
		require.NotZero(t, s.Count(t, "sessions"), "not older than the retention yet")
		s.Clock.Advance(retention + time.Second)
		s.expire(t, 2)
		require.Zero(t, s.Count(t, "sessions"))
	})
}
