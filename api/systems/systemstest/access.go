package systemstest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// Access says how a system is reached and what its refusals look like.
type Access struct {
	// Calls are one for each of the system's routes, without authorization, and such that they would succeed.
	Calls []Call
	// Authorization makes the header out of a key.
	Authorization func(key string) string
	// Refused is the shape of a refusal, as JSON in which every text and number stands for any of its kind.
	Refused string
	// Settings is the one call that a key with role settings may make, "METHOD /path"; "" = none.
	Settings string
	// AdminAllowed: admin keys may call what names its tenant.
	AdminAllowed bool
}

// RequireAccess checks what holds for every system: each route refuses missing, wrong, revoked and too narrow keys,
// unknown paths and methods, and bodies that are too large, all in the system's own shape and without a change.
func RequireAccess(t *testing.T, b *Bench, a Access) {
	t.Helper()
	before := b.Webhooks(Tenant)
	refused := func(status int, c Call) {
		t.Helper()
		w := b.Do(c)
		require.Equal(t, status, w.Code, "%s %s: %s", c.Method, c.Path, w.Body)
		RequireShape(t, a.Refused, w)
	}
	b.Service.AdminKey = servicetest.AdminKey
	keyID, revoked, err := b.Service.CreateKey(t.Context(), Tenant, "revoked", models.RoleTenant)
	require.NoError(t, err)
	require.NoError(t, b.Service.RevokeKey(t.Context(), Tenant, keyID.ID))
	read, publish, settings := b.Env.Key(Tenant, models.RoleRead), b.Env.Key(Tenant, models.RolePublish), b.Env.Key(Tenant, models.RoleSettings)

	for _, c := range a.Calls {
		refused(http.StatusUnauthorized, c)
		for _, header := range []string{"Bearer", "Bearer ", "Digest x", a.Authorization("phk_unknown"), a.Authorization(revoked), a.Authorization("")} {
			c.Authorization = header
			refused(http.StatusUnauthorized, c)
		}
		c.Authorization = a.Authorization(publish)
		refused(http.StatusForbidden, c)
		if c.Authorization = a.Authorization(settings); c.Method+" "+c.Path != a.Settings {
			refused(http.StatusForbidden, c)
		}
		if !a.AdminAllowed {
			c.Authorization = a.Authorization(servicetest.AdminKey)
			refused(http.StatusForbidden, c)
		}
		c.Authorization = a.Authorization(read)
		if c.Method != http.MethodGet {
			refused(http.StatusForbidden, c)
			continue
		}
		require.Equal(t, http.StatusOK, b.Do(c).Code, "a key with role read may %s %s", c.Method, c.Path)
		c.Method = http.MethodHead
		require.Equal(t, http.StatusOK, b.Do(c).Code, "HEAD %s", c.Path)
	}
	prefix := a.Calls[0].Path[:strings.Index(a.Calls[0].Path[1:], "/")+1]
	for _, path := range []string{prefix, prefix + "/", prefix + "/nothing", a.Calls[0].Path + "/x/y/z", prefix + "/./webhooks", a.Calls[0].Path + "/%2e%2e",
		a.Calls[0].Path + "/a%2fb", a.Calls[0].Path + "/%00/x/y/z", prefix + "//webhooks"} {
		refused(http.StatusNotFound, Call{Method: http.MethodGet, Path: path, Authorization: a.Authorization(b.Key)})
	}
	refused(http.StatusMethodNotAllowed, Call{Method: http.MethodTrace, Path: a.Calls[0].Path, Authorization: a.Authorization(b.Key)})
	for _, c := range a.Calls {
		if c.Body != "" {
			c.Authorization, c.Body = a.Authorization(b.Key), c.Body+strings.Repeat(" ", systems.MaxBody)
			refused(http.StatusRequestEntityTooLarge, c)
		}
	}
	require.Equal(t, before, b.Webhooks(Tenant))
}

// RequireShape compares an answer with a JSON text in which every text and number stands for any of its kind; a text
// must not be empty.
func RequireShape(tb testing.TB, want string, w *httptest.ResponseRecorder) {
	tb.Helper()
	var expected, actual any
	require.NoError(tb, json.Unmarshal([]byte(want), &expected))
	require.NoError(tb, json.Unmarshal(w.Body.Bytes(), &actual), w.Body.String())
	require.Equal(tb, shape(expected), shape(actual), w.Body.String())
}

func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = shape(v[name])
		}
		return v
	case []any:
		for i := range v {
			v[i] = shape(v[i])
		}
		return v
	case string:
		if v == "" {
			return "nothing"
		}
		return "text"
	case float64:
		return "number"
	}
	return v
}

// BadInput is a request that is refused.
type BadInput struct {
	Name   string
	Call   Call
	Status int
	Want   string // the answer; "" = only its shape is checked
}

// RequireRefused makes requests that are wrong and checks that they are refused in the system's own shape, that
// nothing has changed, and that it was not for a failure inside.
func RequireRefused(t *testing.T, b *Bench, shape, authorization string, inputs []BadInput) {
	t.Helper()
	for _, in := range inputs {
		t.Run(in.Name, func(t *testing.T) {
			before := [][]models.Webhook{b.Webhooks(Tenant), b.Webhooks(Other)}
			in.Call.Authorization = authorization
			w := b.Do(in.Call)
			require.Equal(t, in.Status, w.Code, w.Body.String())
			if in.Want == "" {
				RequireShape(t, shape, w)
			} else {
				require.JSONEq(t, in.Want, w.Body.String())
			}
			after := [][]models.Webhook{b.Webhooks(Tenant), b.Webhooks(Other)}
			require.Equal(t, before, after)
		})
	}
}
