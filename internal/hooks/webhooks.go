package hooks

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// WebhookChange is what a request sets of a webhook; nil leaves it as it is, or at its default when it is made.
type WebhookChange struct {
	URL         *string
	EventTypes  *[]string // empty = every type but the operational ones
	Name        *string
	Description *string
	Secret      *string // "" = none, where the profile allows it
	Headers     *map[string]string
	Active      *bool // false makes the webhook disabled; default true
	Retry       *models.Retry
	Timeout     *time.Duration // 0 = the installation's default
	MaxInFlight *int           // 0 = no limit of its own
	RateLimit   *float64       // deliveries per second; 0 = unlimited
	Profile     string         // only when it is made; default standard
	Only        bool           // only when it is made: Conflict if the tenant has one of the profile already
	Settings    map[string]string
	By          string // who asks: the key's name
}

// The bounds of what a webhook may set.
const (
	maxEventTypes = 100
	maxTimeout    = time.Minute
	maxRetries    = 100
	maxInterval   = 24 * time.Hour
)

// CreateWebhook registers a webhook and gives its signing secret in clear, this once.
func (s *Service) CreateWebhook(ctx context.Context, tenant string, c WebhookChange) (models.Webhook, string, error) {
	if c.Profile == "" {
		c.Profile = wire.ProfileStandard
	}
	if c.URL == nil {
		c.URL = new(string)
	}
	if c.Secret == nil && rulesOf(c.Profile).makesSecret {
		c.Secret = new(secrets.NewSigningSecret())
	}
	w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: tenant, Profile: c.Profile, Status: models.WebhookActive,
		CreatedBy: c.By, UpdatedBy: c.By, EventTypes: []string{}, Settings: map[string]string{}}
	o := &sealed{headers: map[string]string{}, secrets: []signingSecret{}}
	if err := s.make(ctx, &w, o, c); err != nil {
		return w, "", err
	}
	if c.Active != nil && !*c.Active {
		w.Status, w.StatusReason = models.WebhookDisabled, "not active when it was made"
	}
	create := s.Store.CreateWebhook
	if c.Only {
		create = s.Store.CreateOnlyWebhook
	}
	if err := create(ctx, &w); errors.Is(err, models.ErrConflict) {
		return w, "", Refuse(Conflict, "there is a webhook of this profile already")
	} else if err != nil {
		return w, "", known(err, "tenant")
	}
	s.directory.forget(tenant)
	if len(o.secrets) == 0 {
		return w, "", nil
	}
	return w, o.secrets[0].Value, nil
}

// UpdateWebhook changes what c names. Active goes through enable and disable.
func (s *Service) UpdateWebhook(ctx context.Context, tenant, id string, c WebhookChange) (models.Webhook, error) {
	was, err := s.Webhook(ctx, tenant, id)
	if err != nil {
		return was, err
	}
	found, err := s.checkChange(ctx, tenant, was.Profile, c)
	if err != nil {
		return was, err
	}
	w, err := s.Store.UpdateWebhook(ctx, tenant, id, func(w *models.Webhook) error {
		w.UpdatedBy = c.By
		return s.apply(found, w, s.forChange(w), c)
	})
	s.directory.forget(tenant)
	if err != nil || c.Active == nil {
		return w, known(err, "webhook")
	}
	if *c.Active {
		return s.Enable(ctx, tenant, id, c.By)
	}
	return s.Disable(ctx, tenant, id, "", c.By)
}

// make is apply for a webhook that is being made.
func (s *Service) make(ctx context.Context, w *models.Webhook, o *sealed, c WebhookChange) error {
	found, err := s.checkChange(ctx, w.Tenant, w.Profile, c)
	if err != nil {
		return err
	}
	return s.apply(found, w, o, c)
}

// checkChange finds what is wrong with those parts of a change that only the network or the database can judge. It must
// not run in a transaction: a transaction that waits for a resolver, or for another connection, holds up everybody.
func (s *Service) checkChange(ctx context.Context, tenant, profile string, c WebhookChange) (found problems, err error) {
	if !wire.Known(profile) {
		found.addf("profile", "must be one of %s", strings.Join(wire.Profiles(), ", "))
		return nil, found.err()
	}
	if c.URL != nil {
		s.checkURL(ctx, &found, profile, *c.URL)
	}
	if c.EventTypes != nil {
		err = s.checkEventTypes(ctx, &found, tenant, *c.EventTypes)
	}
	return found, err
}

// apply carries out a change on w and its sealed part, or says all that is wrong with it: what checkChange found and the
// rest. It may run in a transaction.
func (s *Service) apply(found problems, w *models.Webhook, o *sealed, c WebhookChange) error {
	p := slices.Clone(found) // a transaction may run again
	set(&w.URL, c.URL)
	if c.EventTypes != nil {
		w.EventTypes = slices.Compact(slices.Sorted(slices.Values(*c.EventTypes)))
		if w.EventTypes == nil {
			w.EventTypes = []string{}
		}
	}
	set(&w.Name, c.Name)
	set(&w.Description, c.Description)
	checkLength(&p, "name", w.Name, 200)
	checkLength(&p, "description", w.Description, 2000)
	if c.Secret != nil {
		o.secrets = []signingSecret{}
		if *c.Secret != "" || rulesOf(w.Profile).makesSecret {
			if err := wire.ValidSecret(w.Profile, *c.Secret); err != nil {
				p.addf("secret", "%s", err)
			}
			o.secrets = []signingSecret{{Value: *c.Secret}}
		}
	}
	if c.Headers != nil {
		if err := wire.ValidHeaders(*c.Headers); err != nil {
			p.addf("headers", "%s", err)
		}
		o.headers = *c.Headers
	}
	if c.Settings != nil {
		w.Settings = c.Settings
	}
	s.applyLimits(&p, w, c)
	if err := p.err(); err != nil {
		return err
	}
	return s.seal(w, o)
}

func (s *Service) applyLimits(p *problems, w *models.Webhook, c WebhookChange) {
	if c.Retry != nil {
		w.Retry = *c.Retry
		checkRetry(p, *c.Retry)
	}
	if c.Timeout != nil {
		if w.TimeoutMS = c.Timeout.Milliseconds(); *c.Timeout != 0 && (*c.Timeout < 100*time.Millisecond || *c.Timeout > maxTimeout) {
			p.addf("timeout", "must be from 100ms to %s", maxTimeout)
		}
	}
	if c.MaxInFlight != nil {
		if w.MaxInFlight = *c.MaxInFlight; w.MaxInFlight < 0 || w.MaxInFlight > 1000 {
			p.addf("max_in_flight", "must be from 0 to 1000")
		}
	}
	if c.RateLimit != nil {
		if w.RateLimit = *c.RateLimit; !(w.RateLimit >= 0 && w.RateLimit <= 10_000) {
			p.addf("rate_limit", "must be from 0 to 10000")
		}
	}
}

func checkRetry(p *problems, r models.Retry) {
	if r.Initial < 0 || r.Initial > maxInterval {
		p.addf("retry.initial", "must be from 1ms to %s", maxInterval)
	}
	if r.Backoff != 0 && !(r.Backoff >= 1 && r.Backoff <= 10) {
		p.addf("retry.backoff", "must be from 1 to 10")
	}
	if r.MaxInterval < 0 || r.MaxInterval > maxInterval {
		p.addf("retry.max_interval", "must be from 1ms to %s", maxInterval)
	}
	if r.Max != nil && (*r.Max < 0 || *r.Max > maxRetries) {
		p.addf("retry.max", "must be from 0 to %d", maxRetries)
	}
}

func set(to, from *string) {
	if from != nil {
		*to = *from
	}
}

// CheckURL tells what is wrong with a destination for a webhook of this profile; nil if nothing is.
func (s *Service) CheckURL(ctx context.Context, profile, raw string) error {
	var p problems
	s.checkURL(ctx, &p, profile, raw)
	return p.err()
}

func (s *Service) checkURL(ctx context.Context, p *problems, profile, raw string) {
	if err := s.Guard.CheckURL(ctx, raw); err != nil {
		p.addf("url", "%s", err)
		return
	}
	if rulesOf(profile).https && !s.Dev {
		if u, err := url.Parse(raw); err != nil || u.Scheme != "https" {
			p.addf("url", "must be https")
		}
	}
}

// checkEventTypes refuses types that are not known to the tenant, and wildcards that match none that is.
func (s *Service) checkEventTypes(ctx context.Context, p *problems, tenant string, names []string) error {
	if len(names) > maxEventTypes {
		p.addf("event_types", "must be at most %d", maxEventTypes)
		return nil
	}
	types, err := s.Store.EventTypeNames(ctx, tenant)
	if err != nil {
		return err
	}
	for i, name := range names {
		known := slices.ContainsFunc(types, func(t string) bool { return models.MatchesType(name, t) })
		wildcard := strings.HasSuffix(name, "*")
		switch {
		case name == models.NoEventTypes:
		case strings.Count(name, "*") > 1 || (strings.Contains(name, "*") && name != "*" && !strings.HasSuffix(name, ".*")):
			p.addf(index("event_types", i), "%q: a wildcard is the last part of a name, as in order.*", name)
		case !known && wildcard:
			p.addf(index("event_types", i), "%q matches no known event type", name)
		case !known:
			p.addf(index("event_types", i), "%q is not a known event type", name)
		}
	}
	return nil
}

// Webhook reads one webhook.
func (s *Service) Webhook(ctx context.Context, tenant, id string) (models.Webhook, error) {
	w, err := s.Store.Webhook(ctx, tenant, id)
	return w, known(err, "webhook")
}

// Webhooks lists a tenant's webhooks.
func (s *Service) Webhooks(ctx context.Context, tenant string, f models.WebhookFilter, page models.Page) ([]models.Webhook, string, error) {
	if _, err := s.Tenant(ctx, tenant); err != nil {
		return nil, "", err
	}
	return readPage(ctx, s, "webhook", func(ctx context.Context, store *models.Store) ([]models.Webhook, string, error) {
		return store.Webhooks(ctx, tenant, f, page)
	})
}

// DeleteWebhook removes a webhook and cancels what is owed to it. It returns the webhook as it was.
func (s *Service) DeleteWebhook(ctx context.Context, tenant, id string) (models.Webhook, error) {
	w, err := s.Store.DeleteWebhook(ctx, tenant, id)
	s.directory.forget(tenant)
	if err == nil && w.Health.LastFailureAt != nil {
		s.Engine.Judge(id) // its health workflow, if it has one, finds it gone and ends
	}
	return w, known(err, "webhook")
}

// DefaultOverlap is for how long a rotated secret goes on signing beside the new one.
const DefaultOverlap = 24 * time.Hour

// RotateSecret gives the webhook a new signing secret and returns it in clear, this once. The one before signs too
// until overlap has passed. secret "" = make one.
func (s *Service) RotateSecret(ctx context.Context, tenant, id string, overlap time.Duration, secret, by string) (string, error) {
	var p problems
	if overlap < 0 || overlap > 30*24*time.Hour {
		p.addf("overlap", "must be from 0s to 720h")
	}
	if err := p.err(); err != nil {
		return "", err
	}
	if secret == "" {
		secret = secrets.NewSigningSecret()
	}
	now := s.Now().UTC()
	_, err := s.Store.UpdateWebhook(ctx, tenant, id, func(w *models.Webhook) error {
		if err := wire.ValidSecret(w.Profile, secret); err != nil {
			return invalid(FieldError{"secret", err.Error()})
		}
		o := s.forChange(w)
		until := now.Add(overlap)
		kept := []signingSecret{{Value: secret}}
		for _, old := range o.secrets {
			if old.Until == nil || old.Until.After(until) {
				old.Until = &until
			}
			if old.Until.After(now) && len(kept) < 5 { // each signs every delivery: rotating often must not pile them up
				kept = append(kept, old)
			}
		}
		o.secrets = kept
		w.UpdatedBy = by
		return s.seal(w, o)
	})
	s.directory.forget(tenant)
	return secret, known(err, "webhook")
}
