package service

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// reasonKeyRevoked is the status_reason of an InMemory4 webhook whose key has been revoked.
const reasonKeyRevoked = "the API key that its deliveries carry as Signature was revoked: save InMemory4's settings again, with a key in force"

// retireKey removes a key from the webhooks that send it. InMemory4's deliveries carry the key that last saved the
// settings. An active webhook with this key is deactivated, with a reason that says what to do, so that nothing is
// sent without a signature and its deliveries are held. Saving the settings with another key reactivates it.
func (s *Service) retireKey(ctx context.Context, tenant string, hash []byte) error {
	webhooks, err := s.SystemWebhooks(ctx, tenant, wire.ProfileIM4)
	if err != nil {
		return err
	}
	isKey := func(secret signingSecret) bool { return bytes.Equal(secrets.HashAPIKey(secret.Value), hash) }
	for i := range webhooks {
		o, err := s.unseal(&webhooks[i])
		if err != nil {
			return err
		}
		if slices.ContainsFunc(o.secrets, isKey) {
			if err := s.retire(ctx, &webhooks[i], isKey); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) retire(ctx context.Context, w *models.Webhook, isKey func(signingSecret) bool) error {
	defer s.directory.forget(w.Tenant)
	changed, err := s.Store.DeactivateWebhook(ctx, w.ID, s.Threshold, reasonKeyRevoked)
	if changed {
		s.Engine.WakeHealth(w.ID) // it notifies the administrators
	}
	if err != nil {
		return unlessGone(err)
	}
	_, err = s.Store.UpdateWebhook(models.Unaudited(ctx), w.Tenant, w.ID, func(w *models.Webhook) error {
		o, err := s.unseal(w)
		if err != nil {
			return err
		}
		o.secrets = slices.DeleteFunc(o.secrets, isKey)
		w.UpdatedBy = models.ActorPosthorn
		return s.seal(w, o)
	})
	return unlessGone(err)
}

// unlessGone returns nil for a webhook that has been deleted in the meantime.
func unlessGone(err error) error {
	if errors.Is(err, models.ErrNotFound) {
		return nil
	}
	return err
}

// KeepsKey must be called after the principal's own key has been stored with a webhook. If the key has been revoked in
// the meantime, KeepsKey removes it again and returns Unauthorized.
func (s *Service) KeepsKey(ctx context.Context, p Principal) error {
	hash := secrets.HashAPIKey(p.key)
	_, err := s.Store.APIKeyByHash(ctx, hash)
	if !errors.Is(err, models.ErrNotFound) {
		return err
	}
	if err := s.retireKey(ctx, p.Tenant, hash); err != nil {
		return err
	}
	return Refuse(Unauthorized, "the API key has been revoked")
}
