package service_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// rotating is a webhook whose secrets are changed.
type rotating struct {
	*servicetest.Env
	t       *testing.T
	profile string
	id      string
}

func newRotating(t *testing.T, profile string) *rotating {
	t.Helper()
	r := &rotating{Env: servicetest.New(t), t: t, profile: profile}
	r.Tenant("acme")
	secret := new(secrets.NewSigningSecret())
	w, _, err := r.Service.CreateWebhook(t.Context(), "acme", service.WebhookChange{URL: new("https://shop.example/hooks"), Profile: profile, Secret: secret})
	require.NoError(t, err)
	r.id = w.ID
	return r
}

func (r *rotating) rotate(overlap time.Duration) (string, error) {
	return r.Service.RotateSecret(r.t.Context(), "acme", r.id, overlap, "", "test")
}

// signing returns the secrets that sign now, newest first.
func (r *rotating) signing() []string {
	r.t.Helper()
	w, err := r.Store.Webhook(r.t.Context(), "acme", r.id)
	require.NoError(r.t, err)
	signing, err := r.Service.Signing(&w)
	require.NoError(r.t, err)
	return signing
}

func refusedAs(t *testing.T, code service.Code, err error) *service.Error {
	t.Helper()
	var refused *service.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, code, refused.Code, refused.Detail)
	return refused
}

// Every secret signs for as long as its rotation said, whatever later rotations ask for.
func TestRotation_KeepsWhatEarlierOnesHavePromised(t *testing.T) {
	t.Parallel()
	r := newRotating(t, "standard")
	first := r.signing()[0]
	second, err := r.rotate(24 * time.Hour)
	require.NoError(t, err)
	require.Equal(t, []string{second, first}, r.signing())
	third, err := r.rotate(0)
	require.NoError(t, err)
	require.Equal(t, []string{third, first}, r.signing(), "0s ends the second at once, and not the first")
	fourth, err := r.rotate(time.Minute)
	require.NoError(t, err)
	require.Equal(t, []string{fourth, third, first}, r.signing())
	r.Clock.Advance(time.Minute + time.Second)
	require.Equal(t, []string{fourth, first}, r.signing())
	r.Clock.Advance(24 * time.Hour)
	require.Equal(t, []string{fourth}, r.signing())
}

// If too many secrets sign, a rotation is refused, and says when there is room.
func TestRotation_TooManyRotationsAreRefused(t *testing.T) {
	t.Parallel()
	r := newRotating(t, "standard")
	for range 4 {
		_, err := r.rotate(time.Hour)
		require.NoError(t, err)
	}
	before := r.signing()
	require.Len(t, before, 5)
	_, err := r.rotate(time.Second)
	refused := refusedAs(t, service.Conflict, err)
	require.Contains(t, refused.Detail, r.Clock.Now().UTC().Add(time.Hour).Format("2006-01-02T"))
	require.Equal(t, before, r.signing())

	last, err := r.rotate(0)
	require.NoError(t, err, "it adds none")
	require.Equal(t, append([]string{last}, before[1:]...), r.signing())
	r.Clock.Advance(time.Hour + time.Second)
	_, err = r.rotate(time.Hour)
	require.NoError(t, err)
	require.Len(t, r.signing(), 2)
}

func TestRotation_ToTheSameSecretIsRefused(t *testing.T) {
	t.Parallel()
	r := newRotating(t, "standard")
	_, err := r.Service.RotateSecret(t.Context(), "acme", r.id, 0, r.signing()[0], "test")
	require.Equal(t, "secret", refusedAs(t, service.Invalid, err).Fields[0].Field)
	_, err = r.Service.RotateSecret(t.Context(), "acme", r.id, 721*time.Hour, "short", "test")
	require.Len(t, refusedAs(t, service.Invalid, err).Fields, 2, "all that is wrong, at once")
}

// The outside systems set a secret. It replaces the current one at once, and ends no overlap that /v1 promised.
func TestRotation_SettingASecretKeepsWhatWasPromised(t *testing.T) {
	t.Parallel()
	for _, profile := range wire.Profiles() {
		r := newRotating(t, profile)
		set := func(secret string) error {
			_, err := r.Service.UpdateWebhook(t.Context(), "acme", r.id, service.WebhookChange{Secret: &secret})
			return err
		}
		first := r.signing()[0]
		second, err := r.rotate(time.Hour)
		require.NoError(t, err)
		third := secrets.NewSigningSecret()
		require.NoError(t, set(third))
		require.Equal(t, []string{third, first}, r.signing(), profile)
		require.NoError(t, set(third), "it is so already")
		require.Equal(t, []string{third, first}, r.signing(), profile)
		require.NotContains(t, r.signing(), second)
		if slices.Contains([]string{"standard", "languageweaver", "svix"}, profile) {
			continue // they are never without a secret
		}
		refusedAs(t, service.Conflict, set(""))
		require.Equal(t, []string{third, first}, r.signing(), profile)
		r.Clock.Advance(time.Hour + time.Second)
		require.NoError(t, set(""))
		require.Empty(t, r.signing(), profile)
	}
}

// A change that changes nothing leaves no trace: no time, no version, and no new encryption.
func TestRotation_AChangeThatChangesNothingLeavesNoTrace(t *testing.T) {
	t.Parallel()
	r := newRotating(t, "up42")
	read := func() (models.Webhook, int64) {
		w, err := r.Store.Webhook(t.Context(), "acme", r.id)
		require.NoError(t, err)
		versions, err := r.Store.TenantVersions(t.Context(), []string{"acme"})
		require.NoError(t, err)
		return w, versions["acme"]
	}
	before, version := read()
	r.Clock.Advance(time.Minute)
	secret := r.signing()[0]
	w, err := r.Service.UpdateWebhook(t.Context(), "acme", r.id, service.WebhookChange{URL: &before.URL, EventTypes: &before.EventTypes, Name: &before.Name,
		Description: &before.Description, Secret: &secret, Headers: &map[string]string{}, MaxInFlight: new(0), RateLimit: new(0.0), By: "somebody else"})
	require.NoError(t, err)
	require.Equal(t, before, w)
	after, same := read()
	require.Equal(t, before, after)
	require.Equal(t, version, same)
}

func TestRotation_BoundsOfSchedulesAndRates(t *testing.T) {
	t.Parallel()
	r := newRotating(t, "standard")
	for _, tt := range []struct {
		field  string
		change service.WebhookChange
	}{
		{"retry.initial", service.WebhookChange{Retry: &models.Retry{Initial: 1}}},
		{"retry.initial", service.WebhookChange{Retry: &models.Retry{Initial: -1}}},
		{"retry.initial", service.WebhookChange{Retry: &models.Retry{Initial: 24*time.Hour + 1}}},
		{"retry.max_interval", service.WebhookChange{Retry: &models.Retry{MaxInterval: time.Millisecond - 1}}},
		{"retry.max_interval", service.WebhookChange{Retry: &models.Retry{MaxInterval: 1<<63 - 1}}},
		{"timeout", service.WebhookChange{Timeout: new(time.Duration(1))}},
		{"timeout", service.WebhookChange{Timeout: new(time.Duration(-1 << 63))}},
		{"rate_limit", service.WebhookChange{RateLimit: new(1e-300)}},
		{"rate_limit", service.WebhookChange{RateLimit: new(-1e-300)}},
		{"rate_limit", service.WebhookChange{RateLimit: new(10_000.1)}},
	} {
		_, err := r.Service.UpdateWebhook(t.Context(), "acme", r.id, tt.change)
		refused := refusedAs(t, service.Invalid, err)
		require.Len(t, refused.Fields, 1)
		require.Equal(t, tt.field, refused.Fields[0].Field)
	}
	for _, rate := range []float64{1e-300, -1, 10_001} {
		_, err := r.Service.Recover(t.Context(), "acme", r.id, service.RecoveryRequest{Rate: rate})
		require.Equal(t, "rate", refusedAs(t, service.Invalid, err).Fields[0].Field)
	}
	_, err := r.Service.UpdateWebhook(t.Context(), "acme", r.id, service.WebhookChange{RateLimit: new(0.00001), Timeout: new(time.Minute),
		Retry: &models.Retry{Initial: time.Millisecond, MaxInterval: 24 * time.Hour, Backoff: 10, Max: new(100)}})
	require.NoError(t, err)
}
