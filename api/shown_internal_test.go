package api

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// A role sees no more of a URL than where it leads, unless shownURL says otherwise: so a new role learns no token.
func TestRoles_ANewRoleSeesOnlyTheOriginOfAURL(t *testing.T) {
	t.Parallel()
	sees := map[models.Role]string{models.RoleAdmin: "https://a.example/p?q=1", models.RoleTenant: "https://a.example/p?q=1", models.RoleRead: "https://a.example/p"}
	for _, role := range append(models.Roles(), models.RoleAdmin, "new", "") {
		want, ok := sees[role]
		if !ok {
			want = "https://a.example"
		}
		require.Equal(t, want, shownURL(service.Principal{Tenant: "acme", Role: role}, "https://a.example/p?q=1"), role)
	}
}

// The OpenAPI document lists the roles of keys in struct tags, which cannot call models.Roles.
func TestRoles_TheDocumentListsEveryRoleOfKeys(t *testing.T) {
	t.Parallel()
	for _, body := range []any{Key{}, KeyInput{}} {
		field, _ := reflect.TypeOf(body).FieldByName("Role")
		var listed []models.Role
		for role := range strings.SplitSeq(field.Tag.Get("enum"), ",") {
			listed = append(listed, models.Role(role))
		}
		require.Equal(t, models.Roles(), listed, "%T", body)
	}
}

// Nor can they call wire.Profiles and catalog.Systems.
func TestRoles_TheDocumentNamesEveryProfileAndSystem(t *testing.T) {
	t.Parallel()
	profile, _ := reflect.TypeFor[WebhookInput]().FieldByName("Profile")
	for _, name := range wire.Profiles() {
		require.Contains(t, profile.Tag.Get("doc"), name)
	}
	system, _ := reflect.TypeFor[putCatalog]().FieldByName("System")
	for _, name := range catalog.Systems() {
		require.Contains(t, system.Tag.Get("doc"), name)
	}
}
