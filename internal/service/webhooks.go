package service

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/cut"
	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// WebhookChange holds the fields that a request sets on a webhook. nil leaves a field as it is, or at its default if
// the webhook is new.
type WebhookChange struct {
	URL          *string
	EventTypes   *[]string // empty = every type except the operational ones
	Name         *string
	Description  *string
	UID          *string   // the caller's own name for it; "" = none
	Channels     *[]string // empty = events with any channels, or none
	Metadata     *map[string]string
	Secret       *string // "" = none, if the profile allows it
	Headers      *map[string]string
	PatchHeaders map[string]*string // only these headers change; nil removes one. Headers is nil then
	Active       *bool              // false makes the webhook disabled; default true
	Retry        *models.Retry
	Timeout      *time.Duration // 0 = the installation's default
	MaxInFlight  *int           // 0 = no limit of its own
	RateLimit    *float64       // deliveries per second; 0 = unlimited
	Profile      string         // only for a new webhook; default standard
	Only         bool           // only for a new webhook: Conflict if the tenant already has one of the profile
	Settings     map[string]string
	By           string       // the caller: the key's name
	Wrong        []FieldError // what the caller has already found wrong: the refusal contains it too
}

// The bounds of a webhook's settings.
const (
	maxEventTypes = 100
	maxTimeout    = time.Minute
	maxRetries    = 100
	minInterval   = time.Millisecond
	maxInterval   = 24 * time.Hour
	minRate       = 0.00001 // deliveries per second: one in 28 hours
	maxRate       = 10_000.0
)

// CreateWebhook registers a webhook and returns its signing secret in clear; it is shown only this once.
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
		CreatedBy: c.By, UpdatedBy: c.By, EventTypes: []string{}, Channels: []string{}, Metadata: map[string]string{}, Settings: map[string]string{}}
	o := &sealed{headers: map[string]string{}, secrets: []signingSecret{}}
	if err := s.make(ctx, &w, o, c); err != nil {
		return w, "", err
	}
	if c.Active != nil && !*c.Active {
		w.Status, w.StatusReason = models.WebhookDisabled, "created as inactive"
	}
	create := s.Store.CreateWebhook
	if c.Only {
		create = s.Store.CreateOnlyWebhook
	}
	switch err := create(models.WithAuditNote(ctx, noteMade(&w, o)), &w); {
	case errors.Is(err, models.ErrConflict):
		return w, "", Refuse(Conflict, "the tenant already has a webhook of this profile")
	case errors.Is(err, models.ErrUIDTaken):
		return w, "", known(err, "webhook")
	case err != nil:
		return w, "", known(err, "tenant")
	}
	s.directory.forget(tenant)
	if len(o.secrets) == 0 {
		return w, "", nil
	}
	return w, o.secrets[0].Value, nil
}

// UpdateWebhook changes the fields that c sets. Active goes through enable and disable. Fields that repeat the current
// values, including masked headers and effective defaults, change nothing. If all do, the webhook stays untouched.
func (s *Service) UpdateWebhook(ctx context.Context, tenant, id string, c WebhookChange) (models.Webhook, error) {
	was, err := s.Webhook(ctx, tenant, id)
	if err != nil {
		return was, err
	}
	found, err := s.checkChange(ctx, &was, &c)
	if err != nil {
		return was, err
	}
	note := &models.AuditNote{}
	w, err := s.Store.UpdateWebhook(models.WithAuditNote(ctx, note), tenant, id, func(w *models.Webhook) error {
		o := s.forChange(w)
		was := faceOf(w, o)
		w.UpdatedBy = c.By
		if err := s.apply(found, w, o, s.withoutEchoes(w, c)); err != nil {
			return err
		}
		noteChanged(note, was, faceOf(w, o))
		return nil
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

// make is apply for a new webhook.
func (s *Service) make(ctx context.Context, w *models.Webhook, o *sealed, c WebhookChange) error {
	found, err := s.checkChange(ctx, w, &c)
	if err != nil {
		return err
	}
	return s.apply(found, w, o, c)
}

// checkChange checks those parts of a change that need the network or the database, and puts the URL into its
// canonical form. It must not run in a transaction: a transaction that waits for a resolver, or for another
// connection, delays everyone. Values that the webhook already has are not checked again: they may be sent back,
// although a type has been deleted since.
func (s *Service) checkChange(ctx context.Context, was *models.Webhook, c *WebhookChange) (found problems, err error) {
	found = slices.Clone(c.Wrong)
	if slices.ContainsFunc(found, func(f FieldError) bool { return f.Field == "profile" }) {
		c.Secret = nil // whether it fits is not known
	}
	if !wire.Known(was.Profile) {
		found.addf("profile", "must be one of %s", strings.Join(wire.Profiles(), ", "))
		was.Profile, c.Secret = wire.ProfileStandard, nil // the rest is checked as for the default; whether a secret fits is unknown
	}
	if c.URL != nil && (*c.URL == "" || *c.URL != was.URL) {
		c.URL = new(s.checkURL(ctx, &found, was.Profile, *c.URL))
	}
	if c.EventTypes != nil {
		err = s.checkEventTypes(ctx, &found, was, *c.EventTypes)
	}
	return found, err
}

// apply applies a change to w and its encrypted part, or returns everything that is wrong with it: what checkChange
// found and the rest. It may run in a transaction.
func (s *Service) apply(found problems, w *models.Webhook, o *sealed, c WebhookChange) error {
	p := slices.Clone(found) // a transaction may run again
	before := *o
	set(&w.URL, c.URL)
	if c.EventTypes != nil {
		w.EventTypes = each(*c.EventTypes)
	}
	set(&w.Name, c.Name)
	set(&w.Description, c.Description)
	checkLength(&p, "name", w.Name, 200)
	checkLength(&p, "description", w.Description, 2000)
	applyNames(&p, w, c)
	var refused error
	if c.Secret != nil {
		if *c.Secret != "" || rulesOf(w.Profile).makesSecret {
			if err := wire.ValidSecret(w.Profile, *c.Secret); err != nil {
				p.addf("secret", "%s", err)
			}
		}
		refused = o.setSecret(*c.Secret, s.Now())
	}
	if c.PatchHeaders != nil {
		if before.headers == nil {
			return Refuse(Conflict, "the headers cannot be opened: set them again")
		}
		c.Headers = new(patched(before.headers, c.PatchHeaders))
	}
	if c.Headers != nil {
		o.headers = unmasked(&p, *c.Headers, before.headers)
		if err := wire.ValidHeaders(o.headers); err != nil {
			p.addf("headers", "%s", err)
		}
	}
	if c.Settings != nil {
		w.Settings = c.Settings
	}
	s.applyLimits(&p, w, c)
	if err := cmp.Or(p.err(), refused); err != nil {
		return err
	}
	return s.sealChanged(w, o, &before)
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
		w.RateLimit = *c.RateLimit
		checkRate(p, "rate_limit", w.RateLimit)
	}
}

// checkRate refuses rates that no clock can keep: too many a second, or less than one in about a day.
func checkRate(p *problems, field string, rate float64) {
	if rate != 0 && !(rate >= minRate && rate <= maxRate) {
		p.addf(field, "must be 0, or from %v to %v deliveries per second", minRate, maxRate)
	}
}

func checkRetry(p *problems, r models.Retry) {
	if r.Initial != 0 && (r.Initial < minInterval || r.Initial > maxInterval) {
		p.addf("retry.initial", "must be from %s to %s, or 0 for the installation's", minInterval, maxInterval)
	}
	if r.Backoff != 0 && !(r.Backoff >= 1 && r.Backoff <= 10) {
		p.addf("retry.backoff", "must be from 1 to 10")
	}
	if r.MaxInterval != 0 && (r.MaxInterval < minInterval || r.MaxInterval > maxInterval) {
		p.addf("retry.max_interval", "must be from %s to %s, or 0 for the installation's", minInterval, maxInterval)
	}
	if r.Max != nil && (*r.Max < 0 || *r.Max > maxRetries) {
		p.addf("retry.max", "must be from 0 to %d", maxRetries)
	}
}

// each returns the names in their order, each once.
func each[T comparable](names []T) []T {
	once, seen := []T{}, map[T]bool{}
	for _, name := range names {
		if !seen[name] {
			once, seen[name] = append(once, name), true
		}
	}
	return once
}

func set(to, from *string) {
	if from != nil {
		*to = *from
	}
}

// CheckURL returns a destination for a webhook of this profile in its canonical form, or says what is wrong with it.
func (s *Service) CheckURL(ctx context.Context, profile, raw string) (canonical string, err error) {
	var p problems
	canonical = s.checkURL(ctx, &p, profile, raw)
	return canonical, p.err()
}

// Spellings returns the URLs under which a webhook may be stored that is searched for by raw: the canonical form, and
// raw itself, for webhooks registered before there was a canonical form. It returns none for "".
func (s *Service) Spellings(raw string) []string {
	if raw == "" {
		return nil
	}
	canonical, err := s.Guard.Canonical(raw)
	if err != nil || canonical == raw {
		return []string{raw}
	}
	return []string{canonical, raw}
}

func (s *Service) checkURL(ctx context.Context, p *problems, profile, raw string) (canonical string) {
	canonical, err := s.Guard.CheckURL(ctx, raw)
	if err != nil {
		p.addf("url", "%s", err)
		return raw
	}
	if rulesOf(profile).https && !s.Dev && !strings.HasPrefix(canonical, "https:") {
		p.addf("url", "must be https")
	}
	return canonical
}

// checkEventTypes refuses types that the tenant does not know, and wildcards that match no known type.
func (s *Service) checkEventTypes(ctx context.Context, p *problems, was *models.Webhook, names []string) error {
	if len(names) > maxEventTypes {
		p.addf("event_types", "must be at most %d", maxEventTypes)
		return nil
	}
	if !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(was.EventTypes, name) }) {
		return nil
	}
	types, err := s.Store.EventTypeNames(ctx, was.Tenant)
	if err != nil {
		return err
	}
	for i, name := range names {
		shown := cut.Text(name, shownName)
		known := slices.ContainsFunc(types, func(t string) bool { return models.MatchesType(name, t) })
		wildcard := strings.HasSuffix(name, "*")
		switch {
		case name == models.NoEventTypes, slices.Contains(was.EventTypes, name):
		case strings.Count(name, "*") > 1 || (strings.Contains(name, "*") && name != "*" && !strings.HasSuffix(name, ".*")):
			p.addf(index("event_types", i), "%q: a wildcard is the last part of a name, as in order.*", shown)
		case !known && wildcard:
			p.addf(index("event_types", i), "%q matches no known event type", shown)
		case !known:
			p.addf(index("event_types", i), "%q is not a known event type", shown)
		}
	}
	return nil
}

// Webhook reads one webhook.
func (s *Service) Webhook(ctx context.Context, tenant, id string) (models.Webhook, error) {
	w, err := s.Store.Webhook(ctx, tenant, id)
	return w, known(err, "webhook")
}

// Webhooks lists a tenant's webhooks; tenant "" = those of all tenants.
func (s *Service) Webhooks(ctx context.Context, tenant string, f models.WebhookFilter, page models.Page) ([]models.Webhook, string, error) {
	return readPage(ctx, s, "webhook", func(ctx context.Context, store *models.Store) ([]models.Webhook, string, error) {
		return store.Webhooks(ctx, tenant, f, page)
	})
}

// Subscription is what the webhooks of a tenant are registered for.
type Subscription struct {
	EventTypes []string // that they name, wildcards among them, sorted
	All        bool     // one of them gets every type
}

// subscribed is the most webhooks that one look at subscriptions reads.
const subscribed = 10_000

// Subscriptions gives what the webhooks of some tenants are registered for, by tenant. Conflict if they are too many for one look.
func (s *Service) Subscriptions(ctx context.Context, tenants []string) (map[string]Subscription, error) {
	webhooks, err := read(ctx, s, "webhook", func(ctx context.Context, store *models.Store) ([]models.Webhook, error) {
		return store.Subscriptions(ctx, tenants, subscribed+1)
	})
	switch {
	case err != nil:
		return nil, err
	case len(webhooks) > subscribed:
		return nil, Refuse(Conflict, "these tenants have more than %d webhooks together", subscribed)
	}
	all := make(map[string]Subscription, len(tenants))
	for i := range webhooks {
		w := &webhooks[i]
		of := all[w.Tenant]
		of.All = of.All || len(w.EventTypes) == 0 || slices.Contains(w.EventTypes, "*")
		for _, name := range w.EventTypes {
			if name != "*" && name != models.NoEventTypes {
				of.EventTypes = append(of.EventTypes, name)
			}
		}
		all[w.Tenant] = of
	}
	for tenant, of := range all {
		slices.Sort(of.EventTypes)
		of.EventTypes = slices.Compact(of.EventTypes)
		all[tenant] = of
	}
	return all, nil
}

// DeleteWebhook removes a webhook and cancels its unfinished deliveries. It returns the webhook as it was.
func (s *Service) DeleteWebhook(ctx context.Context, tenant, id string) (models.Webhook, error) {
	w, err := s.Store.DeleteWebhook(ctx, tenant, id)
	s.directory.forget(tenant)
	if err == nil && w.Health.LastFailureAt != nil {
		s.Engine.WakeHealth(id) // its health workflow, if it has one, finds it gone and ends
	}
	return w, known(err, "webhook")
}
