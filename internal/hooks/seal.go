package hooks

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// sealed is the part of a webhook that is kept encrypted, opened.
type sealed struct {
	headers map[string]string
	secrets []signingSecret
}

// signingSecret is a secret that signs until a time, or for good.
type signingSecret struct {
	Value string     `json:"value"`
	Until *time.Time `json:"until,omitempty"`
}

// active gives the secrets that sign at a time, newest first.
func (o *sealed) active(at time.Time) []string {
	var values []string
	for _, secret := range o.secrets {
		if secret.Until == nil || at.Before(*secret.Until) {
			values = append(values, secret.Value)
		}
	}
	return values
}

// seal encrypts headers and secrets into w. Each ciphertext is bound to the webhook and to what it is.
func (s *Service) seal(w *models.Webhook, o *sealed) (err error) {
	if w.Headers, err = s.sealJSON(o.headers, w.ID+"/headers"); err != nil {
		return err
	}
	w.Secrets, err = s.sealJSON(o.secrets, secretsContext(w.ID))
	return err
}

// secretsContext binds sealed secrets to their webhook.
func secretsContext(webhookID string) string { return webhookID + "/secrets" }

func (s *Service) sealJSON(v any, about string) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return s.Box.Seal(plain, about)
}

func (s *Service) unseal(w *models.Webhook) (*sealed, error) {
	o := &sealed{}
	if err := s.unsealJSON(w.Headers, w.ID+"/headers", &o.headers); err != nil {
		return nil, err
	}
	return o, s.unsealJSON(w.Secrets, secretsContext(w.ID), &o.secrets)
}

func (s *Service) unsealJSON(box []byte, about string, v any) error {
	plain, err := s.Box.Open(box, about)
	if err != nil {
		return fmt.Errorf("hooks: open %s: %w", about, err)
	}
	return json.Unmarshal(plain, v)
}

// Headers gives the names of a webhook's custom headers with their values masked: they may be credentials, and are
// shown as little as a secret is.
func (s *Service) Headers(w *models.Webhook) (map[string]string, error) {
	o, err := s.unseal(w)
	if err != nil {
		return nil, err
	}
	masked := make(map[string]string, len(o.headers))
	for name := range o.headers {
		masked[name] = wire.Masked
	}
	return masked, nil
}

// Secret gives the newest signing secret of a webhook, "" if it has none: for the systems whose own API returns it.
func (s *Service) Secret(w *models.Webhook) (string, error) {
	o, err := s.unseal(w)
	if err != nil || len(o.secrets) == 0 {
		return "", err
	}
	return o.secrets[0].Value, nil
}

// onWire is the webhook as internal/wire wants it.
func (o *sealed) onWire(w *models.Webhook, at time.Time) wire.Webhook {
	return wire.Webhook{ID: w.ID, Tenant: models.TenantSlug(w.Tenant), URL: w.URL, Profile: w.Profile, Headers: o.headers,
		Secrets: o.active(at), Settings: w.Settings}
}
