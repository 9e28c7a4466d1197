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

// WebhookStatus is where a webhook is in its life.
type WebhookStatus string

// Only an active webhook is sent to; for the others what is due is held.
const (
	WebhookActive      WebhookStatus = "active"
	WebhookPaused      WebhookStatus = "paused"      // by its owner, for a while: resume releases what was held
	WebhookDeactivated WebhookStatus = "deactivated" // by Posthorn, because it kept failing or answered 410
	WebhookDisabled    WebhookStatus = "disabled"    // by its owner, until enabled
)

// Retry is a webhook's retry schedule: after failure n the wait is Initial × Backoff^(n-1), at most MaxInterval;
// after Max retries the delivery has failed. Zero values stand for the installation's defaults, except for Max, where
// nil does and 0 means not to retry at all.
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
	UID          string `gorm:"column:uid"` // what the caller calls it: of no other webhook of the tenant; "" = nothing
	Profile      string // how its deliveries look on the wire, see internal/wire
	URL          string
	Name         string
	Description  string
	EventTypes   []string          `gorm:"serializer:json;not null"` // empty = every type but the operational ones; "order.*" wildcards
	Channels     []string          `gorm:"serializer:json;not null"` // empty = events of every channel, and of none
	Metadata     map[string]string `gorm:"serializer:json;not null"` // the caller's own notes
	Status       WebhookStatus
	StatusReason string
	Headers      []byte
	Secrets      []byte
	SealedWith   int64             `gorm:"-"`                        // the key that has just sealed Headers and Secrets; 0 = they are as they were read
	Settings     map[string]string `gorm:"serializer:json;not null"` // what the webhook's profile needs beside the rest
	Retry        Retry             `gorm:"serializer:json;not null"`
	TimeoutMS    int64             // 0 = the installation's default
	MaxInFlight  int               // 0 = the installation's default
	RateLimit    float64           // deliveries per second; 0 = unlimited
	Epoch        int64             // raised with every change of status: what is about an earlier one changes nothing
	Version      int64             // the tenant's version at the webhook's last change
	CreatedBy    string
	UpdatedBy    string
	CreatedAt    time.Time
	UpdatedAt    time.Time
	DeletedAt    *time.Time

	// Apart: Headers and Secrets are too long to be kept in memory for each webhook, and have been left out.
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

// Hears reports whether the webhook gets events with these channels: it has none itself, or shares one with them. It counts
// when an event is accepted.
func (w *Webhook) Hears(channels []string) bool {
	return len(w.Channels) == 0 || slices.ContainsFunc(channels, func(c string) bool { return slices.Contains(w.Channels, c) })
}

// OperationalPrefix begins the names of the events Posthorn publishes about webhooks themselves. A webhook gets
// them only if it names them (or "webhook.*").
const OperationalPrefix = "webhook."

// NoEventTypes stands as the only event type of a webhook that is registered for nothing, as an empty list means
// every type. No event type can have this name.
const NoEventTypes = "-"

// MatchesType reports whether a pattern ("order.created", or "order.*" for all that begins with "order.") covers the type.
func MatchesType(pattern, eventType string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(eventType, prefix) && (prefix != "" || !strings.HasPrefix(eventType, OperationalPrefix))
	}
	return pattern == eventType
}

// CreateWebhook stores a new webhook with its health row. A *FullError if the tenant has as many as it may have.
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

// WebhookByUID returns the id of the tenant's webhook that has a uid.
func (s *Store) WebhookByUID(ctx context.Context, tenant, uid string) (string, error) {
	var w Webhook
	// The index is of webhooks that have a uid: PostgreSQL does not know it of a parameter.
	err := alive(s.db.WithContext(ctx)).Select("id").Take(&w, "tenant = ? AND uid = ? AND uid <> ''", tenant, uid).Error
	return w.ID, found(err)
}

// WebhookFilter narrows a list of webhooks; zero values do not.
type WebhookFilter struct {
	URLs    []string // one of them exactly; two at most
	Status  WebhookStatus
	Profile string
	// EventType keeps the webhooks that would get events of this type.
	EventType string
	Failing   bool // only those with failed receptions since their count was last reset
}

// filteredAtOnce is how many webhooks are read at once where few may be kept, and filteredMost how many are looked at for
// one page.
const (
	filteredAtOnce = 500
	filteredMost   = 10 * filteredAtOnce
)

// Webhooks lists a tenant's webhooks, oldest first, or the other way; tenant "" = those of all tenants. A page of a filter
// by EventType may have fewer webhooks than its limit, or none, and a next one.
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
	if f.Status != "" && f.Status != WebhookActive { // the predicate of an index: PostgreSQL does not know it of a parameter
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
	for looked := atOnce; ; looked += atOnce { // event types are matched here, not in SQL: wildcards; so pages are read until one is full
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

// UpdateWebhook locks the webhook, lets change alter it, and stores the result. change returns an error to leave
// it as it is. It must not read anything: it runs in the transaction. A change of nothing except UpdatedBy leaves no trace.
// Status changes have methods of their own.
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

// errUnchanged rolls back a change that turned out to be none.
var errUnchanged = errors.New("models: nothing changes")

// changeWebhook begins a change of a webhook: it raises the tenant's version, notes it on the webhook, so that what is
// cached of the tenant can be brought up to date by what has changed, and reads and locks the webhook.
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

// StatusChange asks for a webhook's status to be changed.
type StatusChange struct {
	To     WebhookStatus
	Reason string
	By     string
	// Reset brings the failure count back to 0 and raises its epoch, whatever the status was.
	Reset bool
	// From names the statuses the change is allowed from; empty = any.
	From []WebhookStatus
	// Recover, if set, is stored with the change, or where the webhook has the status already.
	Recover *Recovery
}

// SetWebhookStatus changes a webhook's status. That alone decides whether anything is sent to it. A job holds the pending
// deliveries of a webhook that is not active any more. changed is false if the webhook was in that status already or is in
// none of c.From.
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

// applyStatus changes the status of a webhook that is locked, and leaves a job to hold what is pending if it is not
// active any more.
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

// DeleteWebhook marks the webhook deleted; nothing is sent to it from then on. A job cancels what is owed to it. Its record
// stays for the deliveries that name it, its secrets do not.
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
