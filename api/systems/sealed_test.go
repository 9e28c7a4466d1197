package systems_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// A webhook whose secret cannot be opened is listed by every system, and keeps no other from being listed.
func TestSystemSealed_AWebhookThatCannotBeOpenedIsListed(t *testing.T) {
	t.Parallel()
	for _, s := range catalogued {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			b := systemstest.New(t, func(r gin.IRouter, o systems.Options) { s.api(o).Mount(r) })
			for _, path := range []string{"/one", "/two"} {
				secret := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
				w, _, err := b.Service.CreateWebhook(t.Context(), systemstest.Tenant, service.WebhookChange{URL: new("https://shop.example" + path),
					Profile: s.name, Secret: &secret, By: "test"})
				require.NoError(t, err)
				if path == "/two" {
					continue
				}
				_, err = b.Store.UpdateWebhook(t.Context(), systemstest.Tenant, w.ID, func(w *models.Webhook) error {
					w.Secrets[len(w.Secrets)-1] ^= 1
					return nil
				})
				require.NoError(t, err)
			}
			w := b.Do(systemstest.Call{Method: http.MethodGet, Path: strings.Replace(s.listed, "TENANT", systemstest.Tenant, 1), Authorization: s.authorize(b.Key)})
			require.Equal(t, http.StatusOK, w.Code, w.Body.String())
			require.Contains(t, w.Body.String(), "https://shop.example/one")
			if s.name != wire.ProfileIM4 { // has one
				require.Contains(t, w.Body.String(), "https://shop.example/two")
			}
		})
	}
}
