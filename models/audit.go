package models

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// AuditEntry is one change, with its actor.
type AuditEntry struct {
	ID         string // contains At
	At         time.Time
	Tenant     string // the tenant's id; "" = the whole installation
	TenantSlug string
	ActorKind  string
	ActorID    string
	ActorName  string
	Action     AuditAction
	TargetKind string
	TargetID   string
	Changes    AuditChanges `gorm:"serializer:json;not null"`
	RequestID  string
	Address    string
}

// TableName names the table.
func (AuditEntry) TableName() string { return "audit_log" }

// AuditActor is the author of a change; without a Kind it is Posthorn itself.
type AuditActor struct{ Kind, ID, Name, Address, RequestID string }

// AuditChanges says what a change did to each field. It never contains a secret or a header's value.
type AuditChanges map[string]any

// maxAuditChanges bounds an entry's changes, in bytes of JSON. For larger ones only the names of the fields are
// stored.
const maxAuditChanges = 8 << 10

// bounded returns changes that are small enough to store.
func (c AuditChanges) bounded() AuditChanges {
	if c == nil {
		return AuditChanges{}
	}
	if text, err := json.Marshal(c); err == nil && len(text) <= maxAuditChanges {
		return c
	}
	names := make(AuditChanges, len(c))
	for name := range c {
		names[name] = auditChanged
	}
	return names
}

// AuditNote is the note for the audit log that the caller of a changing method adds.
type AuditNote struct {
	Action  AuditAction  // replaces the method's own; "" = keep it
	Changes AuditChanges // added to the method's own
	Nothing bool         // nothing has changed, or it is already logged: no entry
	// Automatic: Posthorn itself makes the change, even if a caller's request leads to it.
	Automatic bool
}

type auditNoteKey struct{}

// WithAuditNote returns a context whose changes are logged with the note. The note may be filled in until they are.
func WithAuditNote(ctx context.Context, note *AuditNote) context.Context {
	return context.WithValue(ctx, auditNoteKey{}, note)
}

// WithAuditAction returns a context whose changes are logged as the action, unless it already has a note.
func WithAuditAction(ctx context.Context, action AuditAction) context.Context {
	if _, ok := ctx.Value(auditNoteKey{}).(*AuditNote); ok {
		return ctx
	}
	return WithAuditNote(ctx, &AuditNote{Action: action})
}

// Unaudited returns a context whose changes are not logged, because they are part of a change that is.
func Unaudited(ctx context.Context) context.Context {
	return WithAuditNote(ctx, &AuditNote{Nothing: true})
}

// audit writes the entry of a change, in the transaction that makes it, and adds the operational event that follows from it.
func (s *Store) audit(ctx context.Context, tenant string, action AuditAction, target AuditTarget, changes AuditChanges) error {
	actor := AuditActor{}
	if s.log.actor != nil {
		actor = s.log.actor(ctx)
	}
	if note, ok := ctx.Value(auditNoteKey{}).(*AuditNote); ok {
		if note.Nothing {
			return nil
		}
		if note.Automatic {
			actor = AuditActor{RequestID: actor.RequestID}
		}
		action = cmp.Or(note.Action, action)
		changes = maps.Clone(changes)
		if changes == nil {
			changes = AuditChanges{}
		}
		maps.Copy(changes, note.Changes)
	}
	if actor.Kind == "" { // no caller requested it
		actor.Kind, actor.Name = ActorSystem, "posthorn"
	}
	now := s.now()
	err := s.db.WithContext(ctx).Create(&AuditEntry{ID: s.log.nextID(now), At: now, Tenant: tenant, TenantSlug: TenantSlug(tenant),
		ActorKind: actor.Kind, ActorID: actor.ID, ActorName: actor.Name, Action: action, TargetKind: target.Kind, TargetID: target.ID,
		Changes: changes.bounded(), RequestID: actor.RequestID, Address: actor.Address}).Error
	eventType, ok := changeEvents[action]
	if err != nil || !ok || (action == AuditWebhookEnabled && changes["status"] == nil) { // only its failure count was reset
		return err
	}
	return s.announceChange(ctx, tenant, target.ID, eventType)
}

// auditing is a Store's state for the audit log.
type auditing struct {
	actor func(context.Context) AuditActor // the actor of a context's changes; nil = Posthorn itself

	mu   sync.Mutex
	last int64  // the latest At, in milliseconds since 1970
	seq  uint16 // number of the latest entry in that millisecond: the 12 bits after the time in a UUIDv7
}

// nextID returns the id of a new entry. Ids sort by At; ids that one process makes in the same millisecond sort in
// their order.
func (a *auditing) nextID(at time.Time) string {
	u := uuid.Must(uuid.NewV7())
	a.mu.Lock()
	defer a.mu.Unlock()
	if ms := at.UnixMilli(); ms != a.last {
		a.last, a.seq = ms, 0
	} else if a.seq < 0xfff {
		a.seq++
	}
	putMillis(&u, a.last)
	u[6], u[7] = 0x70|byte(a.seq>>8), byte(a.seq&0xff)
	return PrefixAudit + u.String()
}

// AuditFilter filters the audit log; zero values do not. Since is inclusive, Until exclusive.
type AuditFilter struct {
	Tenant       string // the id of a tenant; entries of an earlier tenant with its name are not included
	TenantSlug   string // entries of all tenants that have had this slug
	Action       AuditAction
	ActorID      string
	ActorKinds   []string
	TargetID     string
	Since, Until time.Time
}

// cursors returns the cursors of the list that the filter selects.
func (f *AuditFilter) cursors() cursors {
	return cursorsOf(listAudit, f.Tenant, f.TenantSlug, string(f.Action), f.ActorID, strings.Join(f.ActorKinds, " "), f.TargetID, boundText(f.Since), boundText(f.Until))
}

// AuditLog lists entries, newest first, or in reverse. If no index has exactly what the filter keeps, a page looks at lookedMost: it
// may be short, or empty, and have a next one.
func (s *Store) AuditLog(ctx context.Context, f AuditFilter, p Page) ([]AuditEntry, string, error) {
	cursors := f.cursors()
	after, err := cursors.parseID(p)
	if err != nil {
		return nil, "", err
	}
	if f.Tenant != "" {
		f.TenantSlug = TenantSlug(f.Tenant) // the index is by slug
	}
	db := s.db.WithContext(ctx)
	var sources []source
	kept := func(q *gorm.DB) *gorm.DB { return q }
	for _, part := range []struct{ column, value string }{
		{"target_id", f.TargetID}, {"actor_id", f.ActorID}, {"tenant_slug", f.TenantSlug}, {"action", string(f.Action)},
	} {
		if part.value != "" {
			sources = append(sources, source{byID.behind(f.within(db.Table("audit_log").Where(part.column+" = ?", part.value)), p, after), byID})
			others := kept
			kept = func(q *gorm.DB) *gorm.DB { return others(q).Where(part.column+" = ?", part.value) }
		}
	}
	one := len(sources) <= 1 && f.Tenant == "" && len(f.ActorKinds) == 0
	if len(sources) == 0 {
		sources = append(sources, source{byID.behind(f.within(db.Table("audit_log")), p, after), byID})
	}
	read := func(_ int, looked *gorm.DB) (rows []AuditEntry, err error) {
		q := kept(db.Table("(?) AS audit_log", looked))
		if f.Tenant != "" {
			q = q.Where("tenant = ?", f.Tenant)
		}
		if len(f.ActorKinds) > 0 {
			q = q.Where("actor_kind IN ?", f.ActorKinds)
		}
		err = byID.sorted(q, p).Limit(p.Limit + 1).Find(&rows).Error
		return rows, err
	}
	var rows []AuditEntry
	var end *Mark
	if one {
		rows, err = read(0, byID.sorted(sources[0].rows, p).Limit(p.Limit+1))
	} else {
		rows, end, err = lookFirst(s, p, sources, noFew, read)
	}
	if err != nil {
		return nil, "", err
	}
	rows, next := cutAt(rows, p.Limit, end, func(e AuditEntry) string { return cursors.next(e.ID) }, cursors.behindID)
	return rows, next, nil
}

// within narrows a query to the window of the filter.
func (f *AuditFilter) within(q *gorm.DB) *gorm.DB {
	if !f.Since.IsZero() {
		q = q.Where("id >= ?", IDBefore(PrefixAudit, Bound(f.Since)))
	}
	if !f.Until.IsZero() {
		q = q.Where("id < ?", IDBefore(PrefixAudit, Bound(f.Until)))
	}
	return q
}

// NoteShown logs that the secrets of webhooks are about to be shown.
func (s *Store) NoteShown(ctx context.Context, tenant string, webhookIDs ...string) error {
	if len(webhookIDs) == 0 {
		return nil
	}
	target, changes := AuditTarget{"webhook", webhookIDs[0]}, AuditChanges(nil)
	if len(webhookIDs) > 1 {
		target = AuditTarget{"tenant", TenantSlug(tenant)}
		changes = AuditChanges{"webhooks": auditList(webhookIDs)}
	}
	return s.audit(ctx, tenant, AuditWebhookSecretShown, target, changes)
}
