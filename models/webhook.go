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

// Subscriptions reads up to most webhooks of these tenants, unordered, with only tenant and event types.
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

// isNone reports whether the filter keeps all webhooks.
func (f *WebhookFilter) isNone() bool {
	return len(f.URLs) == 0 && f.Status == "" && f.Profile == "" && f.EventType == "" && !f.Failing
}

// cursors are those of the list of webhooks that the filter keeps.
func (f *WebhookFilter) cursors(tenant string) cursors {
	c := cursorsOf(listWebhooks, tenant, strings.Join(f.URLs, " "), string(f.Status), f.Profile, f.EventType)
	if f.Failing {
		c = append(c, "failing")
	}
	return c
}

const isFailing = "(SELECT 1 FROM webhook_health h WHERE h.webhook_id = webhooks.id AND h.failed > 0) IS NOT NULL"

// kept narrows a query to what the filter keeps. For an event type it keeps rows whose stored list may match; the caller
// checks exactly.
func (f *WebhookFilter) kept(q *gorm.DB) *gorm.DB {
	if len(f.URLs) > 0 {
		q = q.Where("url IN ?", f.URLs)
	}
	if f.Status != "" {
		q = q.Where("status = ?", f.Status)
	}
	if f.Profile != "" {
		q = q.Where("profile = ?", f.Profile)
	}
	if f.Failing {
		q = q.Where(isFailing)
	}
	if f.EventType == "" {
		return q
	}
	conditions, args := []string{}, []any{}
	if (&Webhook{}).Wants(f.EventType) {
		conditions = append(conditions, "event_types IN ('', 'null', '[]')")
	}
	for _, name := range patternsOf(f.EventType) {
		conditions, args = append(conditions, `event_types LIKE ? ESCAPE '!'`), append(args, "%"+likeText(jsonText(name))+"%")
	}
	return q.Where("("+strings.Join(conditions, " OR ")+")", args...)
}

// patternsOf returns the type's name and all wildcards that cover it.
func patternsOf(eventType string) []string {
	names := []string{eventType}
	if pattern := "*"; MatchesType(pattern, eventType) {
		names = append(names, pattern)
	}
	for i := range len(eventType) {
		if eventType[i] == '.' {
			names = append(names, eventType[:i+1]+"*")
		}
	}
	return names
}

// likeText is a text as a part of a pattern of LIKE, in which it stands for itself.
func likeText(text string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text)
}

// Webhooks lists a tenant's webhooks, oldest first, or in reverse; tenant "" = those of all tenants. With a filter a page looks
// at lookedMost: it may be short, or empty, and have a next one.
func (s *Store) Webhooks(ctx context.Context, tenant string, f WebhookFilter, p Page) ([]Webhook, string, error) {
	cursors := f.cursors(tenant)
	after, err := cursors.parseID(p)
	if err != nil {
		return nil, "", err
	}
	p.Reverse = !p.Reverse // the other way than other lists
	db := s.db.WithContext(ctx)
	read := func(looked *gorm.DB) (rows []Webhook, err error) {
		kept := byID.sorted(f.kept(ofOne(alive(db.Table("(?) AS webhooks", looked)), tenant)), p).Limit(p.Limit + 1)
		// Joined to few: what is looked at is read without its health.
		err = byID.sorted(db.Table("(?) AS webhooks", kept).Joins("Health"), p).Find(&rows).Error
		return rows, err
	}
	var rows []Webhook
	var end *Mark
	few, err := s.fewWebhooks(db, &f, p, after)
	switch {
	case err != nil:
	case few != nil:
		rows, err = read(few)
	case tenant == "":
		rows, end, err = lookFirst(s, p, []source{{byID.behind(db.Table("webhooks"), p, after), byID}}, noFew, func(_ int, looked *gorm.DB) ([]Webhook, error) {
			return read(looked)
		})
	default:
		q := byID.behind(db.Table("webhooks").Where("tenant = ? AND deleted_at IS NULL", tenant), p, after)
		if f.isNone() {
			rows, err = read(byID.sorted(q, p).Limit(p.Limit + 1))
			break
		}
		rows, end, err = lookFirst(s, p, []source{{q, byID}}, noFew, func(_ int, looked *gorm.DB) ([]Webhook, error) { return read(looked) })
	}
	if err != nil {
		return nil, "", err
	}
	rows, next := cutAt(rows, p.Limit, end, func(w Webhook) string { return cursors.next(w.ID) }, cursors.behindID)
	if f.EventType != "" {
		rows = slices.DeleteFunc(rows, func(w Webhook) bool { return !w.Wants(f.EventType) })
	}
	return rows, next, nil
}

// ofOne is the scope of a tenant's rows; of "" those of all tenants.
func ofOne(q *gorm.DB, tenant string) *gorm.DB {
	if tenant == "" {
		return q
	}
	return q.Where("tenant = ?", tenant)
}

// fewWebhooks queries inactive or failing webhooks of all tenants. nil: the filter asks for neither, or there are too
// many.
func (s *Store) fewWebhooks(db *gorm.DB, f *WebhookFilter, p Page, after *Mark) (*gorm.DB, error) {
	if f.Status != "" && f.Status != WebhookActive {
		stopped := func() *gorm.DB {
			return byID.sorted(db.Table("webhooks").Where("status = ? AND status <> 'active' AND deleted_at IS NULL", f.Status), p)
		}
		if few, err := s.isFew(stopped()); err != nil || few {
			return byID.behind(stopped(), p, after).Limit(fence), err
		}
	}
	if f.Failing {
		failing := func() *gorm.DB { return db.Table("webhook_health").Where("failed > 0").Order("webhook_id") }
		if few, err := s.isFew(failing()); err != nil || few {
			q := db.Table("(?) AS h", failing().Select("webhook_id").Limit(fence)).Joins("JOIN webhooks ON webhooks.id = h.webhook_id").Select("webhooks.*")
			return listKey{id: "webhooks.id"}.behind(q, p, after).Limit(fence), err
		}
	}
	return nil, nil //nolint:nilnil // they are not few
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
