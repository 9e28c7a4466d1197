package security_test

import (
	"flag"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

var update = flag.Bool("update", false, "write the table of roles into docs/security.md")

// TestRoles_MayWhatTheTableSays calls every operation with a key of every role, about things that do not exist: a role that may
// gets a 404 or the like, another one a 403.
func TestRoles_MayWhatTheTableSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.tenant(models.Roles()...)
	x.keys[models.RoleAdmin] = servicetest.AdminKey
	for _, o := range operations {
		t.Run(o.route, func(t *testing.T) {
			open := o.roles == "anyone"
			for _, role := range append(models.Roles(), models.RoleAdmin) {
				none := w.ghosts(x.slug)
				slug := x.slug
				if role == models.RoleAdmin { // deleting the tenant would take the other roles' ground away
					slug = "no-such-tenant"
				}
				status := w.reach(o, slug, none, x.keys[role]).Code
				may := open || slices.Contains(strings.Fields(o.roles), string(role))
				require.Equal(t, may, status != http.StatusForbidden && status != http.StatusUnauthorized, "%s: %d", role, status)
				require.Less(t, status, 500, "%s", role)
			}
			for _, wrong := range []string{"", "phk_unknown"} {
				require.Equal(t, open, w.reach(o, x.slug, w.ghosts(x.slug), wrong).Code != http.StatusUnauthorized)
			}
		})
	}
}

// notForLinks are the operations that no portal link may do, whatever its role and its capabilities.
var notForLinks = []string{
	"POST /v1/tenants/:tenant/keys",
	"POST /v1/tenants/:tenant/portal-links",
	"DELETE /v1/tenants/:tenant/portal-links",
	"DELETE /v1/tenants/:tenant/portal-links/:id",
	"GET /v1/tenants/:tenant/audit",
	"POST /svix/api/v1/auth/app-portal-access/:app_id",
	"POST /svix/api/v1/auth/dashboard-access/:app_id",
	"POST /svix/api/v1/auth/app/:app_id/expire-all",
}

// linkMay reports whether the token of a portal link may do an operation.
func linkMay(o operation, role models.Role, capabilities []string) bool {
	switch {
	case o.system() != "" && o.system() != "svix", slices.Contains(notForLinks, o.route):
		return false
	case o.roles == links:
		return true
	case strings.Contains(o.route, "/:tenant/keys") && !slices.Contains(capabilities, service.CapabilityKeys):
		return false
	}
	return slices.Contains(strings.Fields(o.roles), string(role))
}

// TestRoles_PortalTokensMayWhatTheDocumentSays calls every operation with the token of a portal link, of each role, with no
// capabilities and with all.
func TestRoles_PortalTokensMayWhatTheDocumentSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.tenant()
	for _, o := range operations {
		if o.roles == "anyone" {
			continue
		}
		t.Run(o.route, func(t *testing.T) {
			for _, role := range []models.Role{models.RoleTenant, models.RoleRead} {
				for _, capabilities := range [][]string{nil, {service.CapabilityKeys, service.CapabilitySettings}} {
					link, err := w.Service.CreatePortalLink(t.Context(), service.Principal{Role: models.RoleAdmin}, x.slug,
						service.LinkRequest{Role: role, Capabilities: capabilities})
					require.NoError(t, err)
					status := w.reach(o, x.slug, w.ghosts(x.slug), link.Token).Code
					require.Equal(t, linkMay(o, role, capabilities), status != http.StatusForbidden && status != http.StatusUnauthorized,
						"%s %v: %d", role, capabilities, status)
				}
			}
		})
	}
}

const (
	tableBegin = "<!-- roles: written by go test ./test/security -run TestRoles_TheDocumentShowsTheRoles -update -->\n"
	tableEnd   = "<!-- end of roles -->\n"
)

// roleTable is the table of docs/security.md.
func roleTable() string {
	columns := append([]models.Role{models.RoleAdmin}, models.Roles()...)
	var b strings.Builder
	b.WriteString("| operation |")
	for _, role := range columns {
		b.WriteString(" `" + string(role) + "` |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, o := range operations {
		if o.roles == "anyone" {
			continue
		}
		b.WriteString("| `" + o.route + "` |")
		for _, role := range columns {
			if slices.Contains(strings.Fields(o.roles), string(role)) {
				b.WriteString(" yes |")
			} else {
				b.WriteString(" – |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestRoles_TheDocumentShowsTheRoles(t *testing.T) {
	t.Parallel()
	text := document(t)
	before, rest, ok := strings.Cut(text, tableBegin)
	require.True(t, ok, "docs/security.md has no place for the table of roles")
	table, after, ok := strings.Cut(rest, tableEnd)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile(documentPath, []byte(before+tableBegin+roleTable()+tableEnd+after), 0o600))
		return
	}
	require.Equal(t, roleTable(), table)
}
