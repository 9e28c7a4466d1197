package service_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// admin is the principal of the bootstrap admin key.
func admin(t *testing.T, s *service.Service) service.Principal {
	t.Helper()
	p, err := s.Authenticate(t.Context(), servicetest.AdminKey)
	require.NoError(t, err)
	return p
}

// portalLink makes a link and returns it with its code.
func portalLink(t *testing.T, s *service.Service, by service.Principal, tenant string, r service.LinkRequest) (service.PortalLink, string) {
	t.Helper()
	l, err := s.CreatePortalLink(t.Context(), by, tenant, r)
	require.NoError(t, err)
	u, err := url.Parse(l.URL)
	require.NoError(t, err)
	require.Equal(t, "/portal/open", u.Path)
	return l, u.Query().Get("code")
}

// The code of a link works once, within five minutes, in every process; used, it leads to its own session only.
func TestSessions_ALinkOpensOneSession(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	ctx, other := t.Context(), env.Another()
	_, code := portalLink(t, env.Service, admin(t, env.Service), "acme", service.LinkRequest{Role: models.RoleRead, Name: "jane"})
	_, err := other.RedeemCode(ctx, code, "", true)
	requireRefused(t, err, service.Unauthorized)

	session, err := other.RedeemCode(ctx, code, "", false)
	require.NoError(t, err)
	require.Equal(t, service.Principal{Tenant: "acme", KeyID: session.ID, Name: "jane", Role: models.RoleRead, Link: true, Capabilities: []string{}}, session.Principal)
	for _, cookie := range []string{"", "phs_other"} {
		_, err = env.Service.RedeemCode(ctx, code, cookie, false)
		requireRefused(t, err, service.Unauthorized)
	}
	again, err := env.Service.RedeemCode(ctx, code, session.Cookie, false)
	require.NoError(t, err)
	require.Equal(t, session, again)
	found, err := env.Service.SessionOf(ctx, session.Cookie)
	require.NoError(t, err)
	require.Equal(t, session.Principal, found.Principal)

	_, late := portalLink(t, env.Service, admin(t, env.Service), "acme", service.LinkRequest{Role: models.RoleRead})
	env.Clock.Advance(5 * time.Minute)
	_, err = env.Service.RedeemCode(ctx, late, "", false)
	requireRefused(t, err, service.Unauthorized)
	require.NoError(t, env.Service.SignOut(ctx, session.Cookie))
	_, err = other.SessionOf(ctx, session.Cookie)
	requireRefused(t, err, service.Unauthorized)
}

func TestSessions_EndWithTheirKey(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	key := env.Tenant("acme")
	ctx := t.Context()
	p, err := env.Service.Authenticate(ctx, key)
	require.NoError(t, err)
	session, err := env.Service.SignIn(ctx, key)
	require.NoError(t, err)
	require.Equal(t, p.KeyID, session.KeyID)
	l, code := portalLink(t, env.Service, p, "acme", service.LinkRequest{Role: models.RoleTenant})
	staff, err := env.Service.SignIn(ctx, servicetest.AdminKey)
	require.NoError(t, err)
	_, err = env.Service.SessionOf(ctx, staff.Cookie)
	require.NoError(t, err)

	require.NoError(t, env.Service.RevokeKey(ctx, "acme", p.KeyID))
	other := env.Another()
	_, err = other.SessionOf(ctx, session.Cookie)
	requireRefused(t, err, service.Unauthorized)
	_, err = other.RedeemCode(ctx, code, "", false)
	requireRefused(t, err, service.Unauthorized)
	_, err = other.AuthenticateToken(ctx, l.Token)
	requireRefused(t, err, service.Unauthorized)

	other.AdminKey = "another admin key, which replaces the first"
	_, err = other.SessionOf(ctx, staff.Cookie)
	requireRefused(t, err, service.Unauthorized)
	env.Clock.Advance(12 * time.Hour)
	_, err = env.Service.SessionOf(ctx, staff.Cookie)
	requireRefused(t, err, service.Unauthorized)
}

func TestSessions_WhoMaySignIn(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	for _, role := range models.Roles() {
		if role == models.RoleTenant || role == models.RoleRead {
			continue
		}
		_, err := env.Service.SignIn(t.Context(), env.Key("acme", role))
		requireRefused(t, err, service.Forbidden)
	}
	tenant, err := env.Store.TenantBySlug(t.Context(), "acme")
	require.NoError(t, err)
	unknown := models.APIKey{ID: models.NewID(models.PrefixKey), Tenant: tenant.ID, Role: "support", Hash: secrets.HashAPIKey("phk_support")}
	require.NoError(t, env.Store.CreateAPIKey(t.Context(), &unknown))
	_, err = env.Service.SignIn(t.Context(), "phk_support")
	requireRefused(t, err, service.Forbidden)
	_, err = env.Service.SignIn(t.Context(), "phk_unknown")
	requireRefused(t, err, service.Unauthorized)
	session, err := env.Service.SignIn(t.Context(), env.Key("acme", models.RoleRead))
	require.NoError(t, err)
	require.Equal(t, models.RoleRead, session.Role)
	code, err := env.Service.LocalCode(t.Context())
	require.NoError(t, err)
	_, err = env.Service.RedeemCode(t.Context(), code, "", false)
	requireRefused(t, err, service.Unauthorized)
	staff, err := env.Service.RedeemCode(t.Context(), code, "", true)
	require.NoError(t, err)
	found, err := env.Another().SessionOf(t.Context(), staff.Cookie)
	require.NoError(t, err)
	require.Equal(t, models.RoleAdmin, found.Role)
}

func TestSessions_LinksNeedAPublicURL(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t, func(_ *sender.Config, o *service.Options) { o.PublicURL = "" })
	env.Tenant("acme")
	_, err := env.Service.CreatePortalLink(t.Context(), admin(t, env.Service), "acme", service.LinkRequest{Role: models.RoleRead})
	requireRefused(t, err, service.Conflict)
}
