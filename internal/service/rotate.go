package service

import (
	"context"
	"slices"
	"time"

	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// DefaultOverlap is how long a rotated secret also signs.
const DefaultOverlap = 24 * time.Hour

const (
	maxOverlap = 30 * 24 * time.Hour
	// maxSecrets is how many secrets of a webhook sign at once, including the newest: each of them signs every
	// delivery.
	maxSecrets = 5
)

// RotateSecret gives the webhook a new signing secret and returns it in clear; it is shown only this once. The
// previous one also signs until overlap has passed, and those before it for as long as their own rotations said.
// Conflict if more than maxSecrets would then sign. secret "" = generate one.
func (s *Service) RotateSecret(ctx context.Context, tenant, id string, overlap time.Duration, secret, by string) (string, error) {
	var p problems
	if overlap < 0 || overlap > maxOverlap {
		p.addf("overlap", "must be from 0s to %.0fh", maxOverlap.Hours())
	}
	if secret == "" {
		secret = secrets.NewSigningSecret()
	}
	now := s.Now().UTC()
	note := &models.AuditNote{Action: models.AuditWebhookSecretRotated,
		Changes: models.AuditChanges{"secret": "changed", "overlap": overlap.String()}}
	_, err := s.Store.UpdateWebhook(models.WithAuditNote(ctx, note), tenant, id, func(w *models.Webhook) error {
		p := slices.Clone(p) // a transaction may run again
		if err := wire.ValidSecret(w.Profile, secret); err != nil {
			p.addf("secret", "%s", err)
		}
		if err := p.err(); err != nil {
			return err
		}
		o := s.forChange(w)
		if err := o.replaceSecret(secret, overlap, now); err != nil {
			return err
		}
		w.UpdatedBy = by
		return s.seal(w, o)
	})
	s.directory.forget(tenant)
	return secret, known(err, "webhook")
}

// promised returns the earlier secrets that still sign.
func (o *sealed) promised(now time.Time) []signingSecret {
	return slices.DeleteFunc(slices.Clone(o.secrets), func(s signingSecret) bool { return s.Until == nil || !now.Before(*s.Until) })
}

// current returns the secret that signs without an end; "" = none does.
func (o *sealed) current() string {
	if i := slices.IndexFunc(o.secrets, func(s signingSecret) bool { return s.Until == nil }); i >= 0 {
		return o.secrets[i].Value
	}
	return ""
}

// replaceSecret replaces the current secret, which also signs for the overlap. The overlaps of other rotations stay.
func (o *sealed) replaceSecret(secret string, overlap time.Duration, now time.Time) error {
	before := o.current()
	if secret == before {
		return invalid(FieldError{"secret", "is already in use"})
	}
	replaced := []signingSecret{{Value: secret}}
	if before != "" && overlap > 0 {
		replaced = append(replaced, signingSecret{Value: before, Until: new(now.Add(overlap))})
	}
	promised := o.promised(now)
	if len(replaced)+len(promised) > maxSecrets {
		return Refuse(Conflict, "%d secrets of this webhook already sign, and none of their overlaps is cut short; the next one ends at %s: rotate after that, or with overlap 0s",
			maxSecrets, firstEnd(promised).Format(time.RFC3339))
	}
	o.secrets = slices.Concat(replaced, promised)
	return nil
}

// setSecret makes secret the current one at once; "" = none. The overlaps of rotations stay, so a webhook for which
// earlier secrets still sign cannot be left without any.
func (o *sealed) setSecret(secret string, now time.Time) error {
	promised := o.promised(now)
	switch {
	case secret == o.current():
		return nil
	case secret == "" && len(promised) > 0:
		return Refuse(Conflict, "earlier secrets of this webhook sign until %s, as a rotation has promised; its secret can be removed after that",
			lastEnd(promised).Format(time.RFC3339))
	case secret == "":
		o.secrets = []signingSecret{}
	default:
		o.secrets = append([]signingSecret{{Value: secret}}, promised...)
	}
	return nil
}

func byEnd(a, b signingSecret) int { return a.Until.Compare(*b.Until) }

func firstEnd(promised []signingSecret) time.Time { return *slices.MinFunc(promised, byEnd).Until }

func lastEnd(promised []signingSecret) time.Time { return *slices.MaxFunc(promised, byEnd).Until }
