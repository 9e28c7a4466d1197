package security_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// log returns the whole audit log, newest first.
func (w *world) log() []models.AuditEntry {
	w.t.Helper()
	rows, next, err := w.Store.AuditLog(w.t.Context(), models.AuditFilter{}, models.Page{Limit: 100_000})
	require.NoError(w.t, err)
	require.Empty(w.t, next)
	return rows
}

// since returns the entries that were added to a log, oldest first.
func (w *world) since(before []models.AuditEntry) []models.AuditEntry {
	w.t.Helper()
	all := w.log()
	added := slices.Clone(all[:len(all)-len(before)])
	slices.Reverse(added)
	return added
}

// TestAuditedCalls_EveryChangeIsLogged makes every call of every API once so that it succeeds. Each writes the entries that the
// table of operations says, or none where it says that it changes nothing, and each entry says who called.
func TestAuditedCalls_EveryChangeIsLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, o := range operations {
		t.Run(o.route, func(t *testing.T) {
			x := w.tenant()
			w.furnish(x, o)
			if o.first != nil {
				o.first(w, x)
			}
			key, kind := x.key, models.ActorKey
			switch {
			case o.roles == "anyone":
				key = ""
			case o.roles == links:
				key, kind = x.token, models.ActorLink
			case !strings.Contains(o.roles, "tenant"):
				key, kind = servicetest.AdminKey, models.ActorAdmin
			}
			before := w.log()
			answer := w.do(o, x, key)
			require.Less(t, answer.Code, 400, answer.Body)

			added := w.since(before)
			var actions []string
			for _, e := range added {
				actions = append(actions, string(e.Action))
				require.Equal(t, kind, e.ActorKind)
				require.NotEmpty(t, e.ActorID)
				require.NotEmpty(t, e.ActorName)
				require.Equal(t, answer.Header().Get("X-Request-Id"), e.RequestID)
				require.Equal(t, "192.0.2.7", e.Address)
				require.NotEmpty(t, e.TargetKind)
				require.NotEmpty(t, e.TargetID)
				require.Contains(t, models.AuditActions, e.Action)
				if e.TargetKind != "event_type" && e.Action != models.AuditTenantCreated {
					slug := x.slug
					if strings.Contains(o.route, "/operational-webhook/") {
						slug = models.OperationalTenant
					}
					require.Equal(t, slug, e.TenantSlug)
				}
				text, err := json.Marshal(e)
				require.NoError(t, err)
				for _, secret := range []string{"s3cret", "t0ken", x.key, "whsec_"} {
					require.NotContains(t, string(text), secret)
				}
			}
			if want := strings.Fields(o.audit); o.audit != "" && o.audit != nothing {
				require.Equal(t, want, actions)
			} else {
				require.Empty(t, actions)
			}
		})
	}
}

// TestAuditedCalls_RefusedCallsAreNotLogged makes every call without a key, with a role that may not, and about what does not
// exist.
func TestAuditedCalls_RefusedCallsAreNotLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	roles := models.Roles()
	for _, o := range operations {
		if o.roles == "anyone" {
			continue
		}
		t.Run(o.route, func(t *testing.T) {
			x := w.tenant(roles...)
			w.furnish(x, o)
			before := w.log()
			w.do(o, x, "")
			w.do(o, x, "phk_unknown")
			for role, key := range x.keys {
				if !slices.Contains(strings.Fields(o.roles), string(role)) {
					require.Equal(t, http.StatusForbidden, w.do(o, x, key).Code)
				}
			}
			if o.namesThings() && (!strings.HasPrefix(o.route, "PUT ") || !strings.Contains(o.route, "/event-type")) {
				w.reach(o, x.slug, w.ghosts(x.slug), x.key)
				w.reach(o, x.slug, w.ghosts(x.slug), servicetest.AdminKey)
			}
			require.Empty(t, w.since(before))
		})
	}
}

// TestAuditedCalls_CallsThatChangeNothingAreNotLogged repeats calls that have already had their effect.
func TestAuditedCalls_CallsThatChangeNothingAreNotLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, route := range []string{
		"PUT /v1/tenants/:tenant", "PUT /v1/event-types/:name", "PUT /v1/tenants/:tenant/catalogs/:system", "PATCH /v1/tenants/:tenant/webhooks/:id",
		"POST /v1/tenants/:tenant/webhooks/:id/enable", "POST /v1/tenants/:tenant/webhooks/:id/disable", "POST /v1/tenants/:tenant/webhooks/:id/pause",
		"POST /v1/tenants/:tenant/recoveries/:id/cancel", "DELETE /v1/tenants/:tenant/events/:id/payload",
		"POST /im4/webhooks", "PUT /languageweaver/api/v2/webhooks/:uuid", "PATCH /ewarehousing/webhooks/:id", "PUT /ewarehousing/webhooks/:id",
	} {
		t.Run(route, func(t *testing.T) {
			o := operations[slices.IndexFunc(operations, func(o operation) bool { return o.route == route })]
			x := w.tenant()
			w.furnish(x, o)
			key := x.key
			if !strings.Contains(o.roles, "tenant") {
				key = servicetest.AdminKey
			}
			w.do(o, x, key)
			before := w.log()
			w.do(o, x, key)
			require.Empty(t, w.since(before))
		})
	}
}
