package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// sealed is the decrypted form of a webhook's encrypted part.
type sealed struct {
	headers map[string]string
	secrets []signingSecret
	// lost: a part that could not be opened is nil. Its stored form stays until something replaces it.
	lost bool
}

// signingSecret is a secret that signs until a time, or for good.
type signingSecret struct {
	Value string     `json:"value"`
	Until *time.Time `json:"until,omitempty"`
}

// active returns the secrets that sign at a time, newest first.
func (o *sealed) active(at time.Time) []string {
	var values []string
	for _, secret := range o.secrets {
		if secret.Until == nil || at.Before(*secret.Until) {
			values = append(values, secret.Value)
		}
	}
	return values
}

// Each ciphertext is bound to the webhook and to its purpose.
func headersContext(webhookID string) string { return webhookID + "/headers" }
func secretsContext(webhookID string) string { return webhookID + "/secrets" }

// seal encrypts headers and secrets into w.
func (s *Service) seal(w *models.Webhook, o *sealed) (err error) {
	if !o.lost || o.headers != nil {
		if w.Headers, err = s.sealJSON(o.headers, headersContext(w.ID)); err != nil {
			return err
		}
	}
	if !o.lost || o.secrets != nil {
		w.Secrets, err = s.sealJSON(o.secrets, secretsContext(w.ID))
	}
	w.SealedWith = int64(s.Box.Primary())
	return err
}

func (s *Service) sealJSON(v any, about string) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return s.Box.Seal(plain, about)
}

// ErrSealed means that a webhook's headers or secrets cannot be opened. It says nothing about any other webhook.
var ErrSealed = errors.New("the webhook's secrets cannot be opened")

// SealedError is ErrSealed with the problem. To callers it is a Conflict.
type SealedError struct {
	Problem string // for the webhook's owner: which part it is, and how to repair it
	cause   error
}

// Error implements error. Key ids are not secret.
func (e *SealedError) Error() string { return e.Problem + ": " + e.cause.Error() }

// Unwrap returns ErrSealed, the refusal, and the cause.
func (e *SealedError) Unwrap() []error {
	return []error{ErrSealed, Refuse(Conflict, "%s", e.Problem), e.cause}
}

// unseal opens the encrypted part of a webhook. Its error is a SealedError; the part that can be opened is returned
// with it.
func (s *Service) unseal(w *models.Webhook) (*sealed, error) {
	o := &sealed{}
	var problems []string
	var causes []error
	for _, part := range []struct {
		box            []byte
		about, problem string
		into           any
	}{
		{w.Secrets, secretsContext(w.ID), "the signing secret cannot be opened: rotate it", &o.secrets},
		{w.Headers, headersContext(w.ID), "the headers cannot be opened: set them again", &o.headers},
	} {
		if err := s.unsealJSON(part.box, part.about, part.into); err != nil {
			o.lost = true
			problems, causes = append(problems, part.problem), append(causes, err)
		}
	}
	if o.lost {
		return o, &SealedError{Problem: strings.Join(problems, "; "), cause: errors.Join(causes...)}
	}
	return o, nil
}

// forChange opens the encrypted part of a webhook that is being changed. A part that cannot be opened does not prevent
// the change: it stays as it is, unless the change replaces it.
func (s *Service) forChange(w *models.Webhook) *sealed {
	o, _ := s.unseal(w)
	return o
}

func (s *Service) unsealJSON(box []byte, about string, v any) error {
	plain, err := s.Box.Open(box, about)
	if err != nil {
		return fmt.Errorf("hooks: open %s: %w", about, err)
	}
	if json.Unmarshal(plain, v) != nil { // the JSON error could quote it
		return fmt.Errorf("hooks: open %s: it is not JSON of the right form", about)
	}
	return nil
}

// Headers returns the names of a webhook's custom headers with masked values: they may be credentials, and are shown
// as little as a secret. With a SealedError it returns those that can be opened.
func (s *Service) Headers(w *models.Webhook) (map[string]string, error) {
	o, err := s.unseal(w)
	masked := make(map[string]string, len(o.headers))
	for name := range o.headers {
		masked[name] = wire.Masked
	}
	return masked, err
}

// HeaderValues returns a webhook's custom headers unmasked, for the systems whose own API returns some of them.
func (s *Service) HeaderValues(w *models.Webhook) (map[string]string, error) {
	o, err := s.unseal(w)
	return o.headers, err
}

// Secret returns the newest signing secret of a webhook, "" if it has none or it cannot be opened. It is for the
// systems whose own API returns it.
func (s *Service) Secret(w *models.Webhook) (string, error) {
	o, _ := s.unseal(w) // one webhook that cannot be opened must not fail the caller's whole list
	if len(o.secrets) == 0 {
		return "", nil
	}
	return o.secrets[0].Value, nil
}

// onWire returns the webhook as internal/wire needs it.
func (o *sealed) onWire(w *models.Webhook, at time.Time) wire.Webhook {
	return wire.Webhook{ID: w.ID, Tenant: models.TenantSlug(w.Tenant), URL: w.URL, Profile: w.Profile, Headers: o.headers,
		Secrets: o.active(at), Settings: w.Settings}
}
