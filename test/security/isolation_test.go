package security_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// TestIsolation_NoTenantReachesAnother calls every operation with keys of every role of one tenant, about the things of another
// one: in the path, in the body and in the query. Each call is answered exactly as the same call about what does not exist, and
// nothing of the other tenant changes.
func TestIsolation_NoTenantReachesAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	roles := models.Roles()
	type pair struct{ victim, attacker *things }
	pairs := map[string]pair{}
	for _, o := range operations { // the first of each system
		if _, ok := pairs[o.system()]; ok {
			continue
		}
		p := pair{w.tenant(), w.tenant(roles...)}
		w.furnish(p.victim, o)
		w.furnish(p.attacker, o)
		pairs[o.system()] = p
	}
	native := pairs[""].victim
	_, err := w.Service.LoadCatalog(t.Context(), native.slug, "phrase")
	require.NoError(t, err)
	native.ids["name"] = "JOB_CREATED" // a type that only this tenant has

	before := map[string]string{}
	for system, p := range pairs {
		before[system] = w.snapshot(p.victim)
	}
	for _, o := range operations {
		if o.roles == "anyone" {
			continue
		}
		t.Run(o.route, func(t *testing.T) {
			p, none := pairs[o.system()], w.ghosts("")
			for role, key := range p.attacker.keys {
				same := func(slug, noSlug string, x *things, statuses ...int) {
					t.Helper()
					theirs, nobodys := w.reach(o, slug, x, key), w.reach(o, noSlug, none, key)
					require.Equal(t, nobodys.Code, theirs.Code, "%s: %s", role, theirs.Body)
					require.Equal(t, plain(nobodys.Body.String(), noSlug, none), plain(theirs.Body.String(), slug, x), "%s", role)
					if len(statuses) > 0 {
						require.Contains(t, statuses, theirs.Code, "%s: %s", role, theirs.Body)
					}
				}
				if o.namesTenant() {
					same(p.victim.slug, "no-such-tenant", p.victim, http.StatusForbidden, http.StatusNotFound)
				}
				switch {
				case o.namesThings():
					same(p.attacker.slug, p.attacker.slug, p.victim, http.StatusForbidden, http.StatusNotFound)
				case strings.Contains(o.body, "{call}"):
					same(p.attacker.slug, p.attacker.slug, p.victim, http.StatusForbidden, http.StatusNotFound, http.StatusBadRequest, http.StatusUnprocessableEntity)
				case strings.Contains(o.query, "{"):
					same(p.attacker.slug, p.attacker.slug, p.victim)
				}
			}
			require.Equal(t, before[o.system()], w.snapshot(p.victim), "nothing has changed")
		})
	}
}

// namesTenant reports whether a tenant stands in the path.
func (o operation) namesTenant() bool {
	return strings.Contains(o.route, "/:tenant") || strings.Contains(o.route, "/:workspace") || strings.Contains(o.route, "/:app_id")
}

// namesThings reports whether something of a tenant's stands in the path.
func (o operation) namesThings() bool {
	for _, name := range []string{"/:id", "/:uid", "/:uuid", "/:name", "/:endpoint_id", "/:msg_id"} {
		if strings.Contains(o.route, name) {
			return true
		}
	}
	return false
}

// plain returns an answer without the ids of the request, which it may repeat.
func plain(body, slug string, x *things) string {
	pairs := []string{slug, "TENANT"}
	for kind, id := range x.ids {
		pairs = append(pairs, id, kind)
		if kind == "webhook" {
			pairs = append(pairs, bare(id), kind)
		}
	}
	return strings.NewReplacer(pairs...).Replace(body)
}

// snapshot returns everything that an admin can read of a tenant.
func (w *world) snapshot(x *things) string {
	w.t.Helper()
	var text strings.Builder
	for _, path := range []string{"", "/keys", "/webhooks", "/webhooks/:id", "/events", "/events/:id", "/deliveries", "/recoveries", "/recoveries/:id", "/erasures/:id", "/event-types", "/audit"} {
		o := operation{route: "GET /v1/tenants/:tenant" + path}
		if (path == "/recoveries/:id" || path == "/erasures/:id") && x.ids["recovery"] == "" {
			continue
		}
		answer := w.reach(o, x.slug, x, servicetest.AdminKey)
		require.Equal(w.t, http.StatusOK, answer.Code, "%s: %s", o.route, answer.Body)
		text.WriteString(answer.Body.String())
	}
	return lastUse.ReplaceAllString(text.String(), "")
}

// lastUse is written a moment after the call that made use of a key.
var lastUse = regexp.MustCompile(`"last_used_at":("[^"]*"|null),?`)
