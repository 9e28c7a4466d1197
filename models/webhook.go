package models

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
)

// WebhookStatus is the status of a webhook.
type WebhookStatus string

// Only an active webhook is sent to; deliveries to the others are held.
const (
	WebhookActive      WebhookStatus = "active"
	WebhookPaused      WebhookStatus = "paused"      // by its owner, for a while: resume releases the held deliveries
	WebhookDeactivated WebhookStatus = "deactivated" // by Posthorn, because it kept failing or answered 410
	WebhookDisabled    WebhookStatus = "disabled"    // by its owner, until enabled
)

// Retry is a webhook's retry schedule: after failure n the wait is Initial × Backoff^(n-1), at most MaxInterval; after
// Max retries the delivery has failed. Zero values mean the installation's defaults; for Max nil does, and 0 means no
// retries.
type Retry struct {
	Initial     time.Duration `json:"initial,omitempty"`
	Backoff     float64       `json:"backoff,omitempty"`
	MaxInterval time.Duration `json:"max_interval,omitempty"`
	Max         *int          `json:"max,omitempty"`
}

// Webhook is a registered receiver. Headers and Secrets are encrypted; internal/service seals and opens them.
type Webhook struct {
	ID           string
	Tenant       string
	UID          string `gorm:"column:uid"` // the caller's own name, unique in the tenant; "" = none
	Profile      string // how its deliveries look on the wire, see internal/wire
	URL          string
	Name         string
	Description  string
	EventTypes   []string          `gorm:"serializer:json;not null"` // empty = every type except the operational ones; "order.*" wildcards
	Channels     []string          `gorm:"serializer:json;not null"` // empty = events with any channels, or none
	Metadata     map[string]string `gorm:"serializer:json;not null"` // the caller's own notes
	Status       WebhookStatus
	StatusReason string
	Headers      []byte
	Secrets      []byte
	SealedWith   int64             `gorm:"-"`                        // the key that has just sealed Headers and Secrets; 0 = unchanged since they were read
	Settings     map[string]string `gorm:"serializer:json;not null"` // additional settings of the webhook's profile
	Retry        Retry             `gorm:"serializer:json;not null"`
	TimeoutMS    int64             // 0 = the installation's default
	MaxInFlight  int               // 0 = no limit of its own
	RateLimit    float64           // deliveries per second; 0 = unlimited
	Epoch        int64             // increased with every change of status: work for an earlier one changes nothing
	Version      int64             // the tenant's version at the webhook's last change
	CreatedBy    string
	UpdatedBy    string
	CreatedAt    time.Time
	UpdatedAt    time.Time
	DeletedAt    *time.Time

	// Apart: Headers and Secrets are too long to keep in memory for each webhook, and have been left out.
	Apart bool `gorm:"-"`

	Health WebhookHealth `gorm:"foreignKey:WebhookID"`
}

// Wants reports whether the webhook is registered for this event type.
func (w *Webhook) Wants(eventType string) bool {
	if len(w.EventTypes) == 0 {
		return !strings.HasPrefix(eventType, OperationalPrefix)
	}
	return slices.ContainsFunc(w.EventTypes, func(pattern string) bool { return MatchesType(pattern, eventType) })
}

// Hears reports whether the webhook gets events with these channels: it has none itself, or shares one with them.
// Channels count when an event is accepted.
func (w *Webhook) Hears(channels []string) bool {
	return len(w.Channels) == 0 || slices.ContainsFunc(channels, func(c string) bool { return slices.Contains(w.Channels, c) })
}

// Subscriptions reads the event types of the webhooks of some tenants, in no order, at most so many. Each has its tenant and its
// types alone.
func (s *Store) Subscriptions(ctx context.Context, tenants []string, most int) ([]Webhook, error) {
	var rows []Webhook
	err := alive(s.db.WithContext(ctx)).Select("tenant", "event_types").Where(s.oneOf("tenant", tenants)).Limit(most).Find(&rows).Error
	return rows, err
}

// OperationalPrefix is the prefix of the events that Posthorn publishes about webhooks themselves. A webhook gets them
// only if it names them (or "webhook.*").
const OperationalPrefix = "webhook."

// NoEventTypes is the only event type of a webhook that is registered for nothing, because an empty list means every
// type. No event type can have this name.
const NoEventTypes = "-"

// MatchesType reports whether a pattern matches the type: "order.created", or "order.*" for all types that begin with
// "order.".
func MatchesType(pattern, eventType string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(eventType, prefix) && (prefix != "" || !strings.HasPrefix(eventType, OperationalPrefix))
	}
	return pattern == eventType
}

// CreateWebhook stores a new webhook with its health row. A *FullError if the tenant has reached its limit.
func (s *Store) CreateWebhook(ctx context.Context, w *Webhook) error {
	w.CreatedAt = s.now()
	w.UpdatedAt = w.CreatedAt
	w.Headers, w.Secrets = notNil(w.Headers), notNil(w.Secrets)
	w.Health = WebhookHealth{WebhookID: w.ID}
	return s.changeTenant(ctx, w.Tenant, func(tx *Store) (err error) {
		if w.Version, err = tx.touchWebhooks(ctx, w.Tenant); err != nil {
			return err
		}
		if err = tx.takePlace(ctx, w.Tenant, countWebhooks); err != nil {
			return err
		}
		if err := tx.db.WithContext(ctx).Create(w).Error; err != nil {
			return taken(err, w.UID)
		}
		if err := tx.sealing(ctx, w.SealedWith); err != nil {
			return err
		}
		return tx.audit(ctx, w.Tenant, AuditWebhookCreated, AuditTarget{"webhook", w.ID}, nil)
	})
}

// CreateOnlyWebhook stores a new webhook unless the tenant already has one of its profile: then ErrConflict. Of
// several at once, one wins.
func (s *Store) CreateOnlyWebhook(ctx context.Context, w *Webhook) error {
	return s.changeTenant(ctx, w.Tenant, func(tx *Store) error {
		if _, err := tx.touchWebhooks(ctx, w.Tenant); err != nil { // locks the tenant: the others wait here
			return err
		}
		var n int64
		err := alive(tx.db.WithContext(ctx)).Model(&Webhook{}).Where("tenant = ? AND profile = ?", w.Tenant, w.Profile).Count(&n).Error
		switch {
		case err != nil:
			return err
		case n > 0:
			return ErrConflict
		}
		return tx.CreateWebhook(ctx, w)
	})
}

// Webhook reads one webhook of the tenant, with its health.
func (s *Store) Webhook(ctx context.Context, tenant, id string) (Webhook, error) {
	var w Webhook
	err := alive(s.db.WithContext(ctx)).Preload("Health").Take(&w, "tenant = ? AND id = ?", tenant, id).Error
	return w, found(err)
}

// WebhookByID reads a webhook of any tenant: for the engine, which knows the id from its own records.
func (s *Store) WebhookByID(ctx context.Context, id string) (Webhook, error) {
	var w Webhook
	err := alive(s.db.WithContext(ctx)).Preload("Health").Take(&w, "id = ?", id).Error
	return w, found(err)
}

// WebhookByUID returns the id of the tenant's webhook with a uid.
func (s *Store) WebhookByUID(ctx context.Context, tenant, uid string) (string, error) {
	var w Webhook
	// The index covers webhooks that have a uid: PostgreSQL cannot match a partial index against a bound parameter.
	err := alive(s.db.WithContext(ctx)).Select("id").Take(&w, "tenant = ? AND uid = ? AND uid <> ''", tenant, uid).Error
	return w.ID, found(err)
}

// WebhookFilter filters a list of webhooks; zero values do not.
type WebhookFilter struct {
	URLs    []string // exactly one of them; at most two
	Status  WebhookStatus
	Profile string
	// EventType selects the webhooks that would get events of this type.
	EventType string
	Failing   bool // only those with failed receptions since their count was last reset
}

// filteredAtOnce is how many webhooks are read at once if few may match, and filteredMost how many are examined for
// one page.
const (
	filteredAtOnce = 500
	filteredMost   = 10 * filteredAtOnce
)

// Webhooks lists a tenant's webhooks, oldest first, or in reverse; tenant "" = those of all tenants. With a filter by
// EventType a page may have fewer webhooks than its limit, or none, although more pages follow.
func (s *Store) Webhooks(ctx context.Context, tenant string, f WebhookFilter, p Page) ([]Webhook, string, error) {
	order, behind := p.ascending()
	q := alive(s.db.WithContext(ctx)).Joins("Health").Order("id" + order) // joined: no parameter for each row
	if tenant != "" {
		q = q.Where("tenant = ?", tenant)
	}
	atOnce := p.Limit + 1
	if f.EventType != "" {
		atOnce = max(atOnce, filteredAtOnce)
	}
	if len(f.URLs) > 0 {
		q = q.Where("url IN ?", f.URLs)
	}
	if f.Status != "" {
		q = q.Where("status = ?", f.Status)
	}
	if f.Status != "" && f.Status != WebhookActive { // the predicate of a partial index, which PostgreSQL cannot match against a bound parameter
		q = q.Where("status <> 'active'")
	}
	if f.Profile != "" {
		q = q.Where("profile = ?", f.Profile)
	}
	cursors := cursorsOf(listWebhooks, tenant, strings.Join(f.URLs, " "), string(f.Status), f.Profile, f.EventType)
	if f.Failing { // the predicate of an index
		q = q.Where(`"Health".failed > 0`)
		cursors = append(cursors, "failing")
	}
	after, err := p.begin(cursors, 1)
	if err != nil {
		return nil, "", err
	}
	var kept []Webhook
	for looked := atOnce; ; looked += atOnce { // because of wildcards event types are matched here, not in SQL; so pages are read until one is full
		var rows []Webhook
		page := q.Session(&gorm.Session{}).Limit(atOnce)
		if after != nil {
			page = page.Where("id"+behind+"?", after[0])
		}
		if err := page.Find(&rows).Error; err != nil {
			return nil, "", err
		}
		for i := range rows {
			after = []string{rows[i].ID}
			if f.EventType == "" || rows[i].Wants(f.EventType) {
				kept = append(kept, rows[i])
			}
		}
		if len(rows) < atOnce || len(kept) > p.Limit {
			break
		}
		if looked >= filteredMost {
			return kept, cursors.next(after[0]), nil
		}
	}
	kept, next := cut(kept, p.Limit, func(w Webhook) string { return cursors.next(w.ID) })
	return kept, next, nil
}

// UpdateWebhook locks the webhook, lets change alter it, and stores the result. If change returns an error, the
// webhook stays as it is. change must not read anything, because it runs in the transaction. A change of nothing
// except UpdatedBy leaves no trace. Status changes have separate methods.
func (s *Store) UpdateWebhook(ctx context.Context, tenant, id string, change func(*Webhook) error) (Webhook, error) {
	var w Webhook
	err := s.changeTenant(ctx, tenant, func(tx *Store) error {
		if err := tx.changeWebhook(ctx, tenant, id, &w); err != nil {
			return err
		}
		was := w
		was.EventTypes, was.Settings = slices.Clone(w.EventTypes), maps.Clone(w.Settings)
		was.Channels, was.Metadata = slices.Clone(w.Channels), maps.Clone(w.Metadata)
		was.Headers, was.Secrets = bytes.Clone(w.Headers), bytes.Clone(w.Secrets)
		if err := change(&w); err != nil {
			return err
		}
		if was.UpdatedBy = w.UpdatedBy; reflect.DeepEqual(was, w) {
			return errUnchanged
		}
		w.UpdatedAt = tx.now()
		w.Headers, w.Secrets = notNil(w.Headers), notNil(w.Secrets) // SQLite's driver reads an empty value as nil
		if err := tx.db.WithContext(ctx).Omit("Health").Save(&w).Error; err != nil {
			return taken(err, w.UID)
		}
		if err := tx.sealing(ctx, w.SealedWith); err != nil {
			return err
		}
		return tx.audit(ctx, tenant, AuditWebhookUpdated, AuditTarget{"webhook", id}, nil)
	})
	if errors.Is(err, errUnchanged) {
		return s.Webhook(ctx, tenant, id)
	}
	return w, err
}

// errUnchanged rolls back a change that turned out to change nothing.
var errUnchanged = errors.New("models: nothing changes")

// changeWebhook begins a change of a webhook. It increases the tenant's version and records it on the webhook, so that
// caches of the tenant can be updated with the changed webhooks only. It reads and locks the webhook.
func (s *Store) changeWebhook(ctx context.Context, tenant, id string, w *Webhook) error {
	version, err := s.touchWebhooks(ctx, tenant)
	if err != nil {
		return err
	}
	err = s.db.WithContext(ctx).Exec("UPDATE webhooks SET version = ? WHERE id = ? AND tenant = ? AND deleted_at IS NULL", version, id, tenant).Error
	if err != nil {
		return err
	}
	return s.lockWebhook(ctx, tenant, id, w)
}

func (s *Store) lockWebhook(ctx context.Context, tenant, id string, w *Webhook) error {
	*w = Webhook{}
	return found(s.forUpdate(alive(s.db.WithContext(ctx))).Preload("Health").Take(w, "tenant = ? AND id = ?", tenant, id).Error)
}

// StatusChange is a change of a webhook's status.
type StatusChange struct {
	To     WebhookStatus
	Reason string
	By     string
	// Reset sets the failure count to 0 and increases its epoch, whatever the status was.
	Reset bool
	// From lists the statuses from which the change is allowed; empty = any.
	From []WebhookStatus
	// Recover, if set, is stored with the change, also if the webhook already has the status.
	Recover *Recovery
}

// SetWebhookStatus changes a webhook's status. That alone decides whether anything is sent to it. A job holds the
// pending deliveries of a webhook that is no longer active. changed is false if the webhook already had that status or
// has none of c.From.
func (s *Store) SetWebhookStatus(ctx context.Context, tenant, id string, c StatusChange) (w Webhook, changed bool, err error) {
	job := ""
	err = s.changeTenant(ctx, tenant, func(tx *Store) error {
		changed, job = false, ""
		if err := tx.changeWebhook(ctx, tenant, id, &w); err != nil {
			return err
		}
		if len(c.From) > 0 && !slices.Contains(c.From, w.Status) && (c.Recover == nil || w.Status != c.To) {
			return nil
		}
		was, counted := w.Status, w.Health.Failed > 0 || w.Health.Warned > 0
		if c.Reset {
			if err := tx.resetHealth(ctx, &w.Health); err != nil {
				return err
			}
		}
		if changed = w.Status != c.To; changed {
			var err error
			if job, err = tx.applyStatus(ctx, &w, c); err != nil {
				return err
			}
		}
		if c.Recover != nil {
			if err := tx.CreateRecovery(Unaudited(ctx), c.Recover); err != nil {
				return err
			}
		}
		if !changed && c.Recover == nil && (!c.Reset || !counted) {
			return nil
		}
		return tx.auditStatus(ctx, &w, was, c)
	})
	if err == nil {
		s.follow(ctx, job)
	}
	return w, changed, err
}

// applyStatus changes the status of a locked webhook, and adds a job to hold its pending deliveries if it is no longer
// active.
func (s *Store) applyStatus(ctx context.Context, w *Webhook, c StatusChange) (job string, err error) {
	w.Status, w.StatusReason, w.UpdatedBy, w.UpdatedAt = c.To, c.Reason, c.By, s.now()
	w.Epoch++
	err = s.db.WithContext(ctx).Model(w).Omit("Health").
		Select("status", "status_reason", "epoch", "updated_by", "updated_at").Updates(w).Error
	if err != nil || c.To == WebhookActive {
		return "", err
	}
	if err := s.forgetPace(ctx, w.ID); err != nil {
		return "", err
	}
	return s.addJob(ctx, Job{Kind: jobHold, Tenant: w.Tenant, WebhookID: w.ID, Epoch: w.Epoch, Reason: HeldReason(c.To)})
}

// DeleteWebhook marks the webhook as deleted; from then on nothing is sent to it. A job cancels its unfinished
// deliveries. Its record stays for the deliveries that name it; its secrets do not.
func (s *Store) DeleteWebhook(ctx context.Context, tenant, id string) (Webhook, error) {
	var w Webhook
	job := ""
	err := s.changeTenant(ctx, tenant, func(tx *Store) error {
		if err := tx.changeWebhook(ctx, tenant, id, &w); err != nil {
			return err
		}
		if err := tx.freePlace(ctx, tenant, countWebhooks); err != nil {
			return err
		}
		now := tx.now()
		err := tx.db.WithContext(ctx).Model(&Webhook{ID: id}).
			Updates(map[string]any{"deleted_at": now, "updated_at": now, "headers": []byte{}, "secrets": []byte{}, "metadata": "{}"}).Error
		if err != nil {
			return err
		}
		if err := tx.nobodyToTell(ctx, id); err != nil {
			return err
		}
		if job, err = tx.addJob(ctx, Job{Kind: jobCancel, Tenant: tenant, WebhookID: id, Reason: ReasonDeleted}); err != nil {
			return err
		}
		return tx.audit(ctx, tenant, AuditWebhookDeleted, AuditTarget{"webhook", id}, AuditChanges{"url": FromTo(AuditURL(w.URL), nil), "name": FromTo(w.Name, nil)})
	})
	if err == nil {
		s.follow(ctx, job)
	}
	return w, err
}

// alive is the scope of webhooks that have not been deleted, alone or with their tenant.
func alive(db *gorm.DB) *gorm.DB {
	return db.Where(`webhooks.deleted_at IS NULL AND NOT EXISTS (
		SELECT 1 FROM tenants t WHERE t.id = webhooks.tenant AND t.deleted_at IS NOT NULL)`)
}
