package systems_test

import (
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/ewarehousing"
	"github.com/posthorn/posthorn/api/im4"
	"github.com/posthorn/posthorn/api/languageweaver"
	"github.com/posthorn/posthorn/api/phrase"
	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/api/up42"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// A webhook whose secret cannot be opened is listed by every system, and keeps no other from being listed.
func TestAWebhookThatCannotBeOpenedIsListed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		profile, list, authorization string
		mount                        func(gin.IRouter, systems.Options)
	}{
		{wire.ProfileIM4, "/im4/webhooks", "Bearer ", im4.Mount},
		{wire.ProfilePhrase, "/phrase/web/api2/v2/webhooks", "ApiToken ", phrase.Mount},
		{wire.ProfileLanguageWeaver, "/languageweaver/api/v2/webhooks", "Bearer ", languageweaver.Mount},
		{wire.ProfileEWarehousing, "/ewarehousing/webhooks/", "Bearer ", ewarehousing.Mount},
		{wire.ProfileUP42, "/up42/workspaces/acme/webhooks", "Bearer ", up42.Mount},
	} {
		t.Run(tt.profile, func(t *testing.T) {
			t.Parallel()
			b := systemstest.New(t, tt.mount)
			for _, path := range []string{"/one", "/two"} {
				secret := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
				w, _, err := b.Service.CreateWebhook(t.Context(), systemstest.Tenant, service.WebhookChange{URL: new("https://shop.example" + path),
					Profile: tt.profile, Secret: &secret, By: "test"})
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
			w := b.Do(systemstest.Call{Method: http.MethodGet, Path: tt.list, Authorization: tt.authorization + b.Key})
			require.Equal(t, http.StatusOK, w.Code, w.Body.String())
			require.Contains(t, w.Body.String(), "https://shop.example/one")
			if tt.profile != wire.ProfileIM4 { // has one
				require.Contains(t, w.Body.String(), "https://shop.example/two")
			}
		})
	}
}
