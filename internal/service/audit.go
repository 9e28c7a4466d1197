package service

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/posthorn/posthorn/models"
)

// AuditActor tells models.Store the author of a context's changes: see models.Options.
func AuditActor(ctx context.Context) models.AuditActor { return models.AuditActor(ActorOf(ctx)) }

// AuditLog lists the changes made through any API to the principal, newest first. A tenant's keys do not learn the
// names of staff. With a tenant's id it lists that tenant's entries only. "" is for admins, who get the entries of all
// tenants and of the installation.
func (s *Service) AuditLog(ctx context.Context, p Principal, tenant string, f models.AuditFilter, actor string, page models.Page) ([]models.AuditEntry, string, error) {
	f.Tenant = tenant
	switch actor {
	case "":
	case models.ActorStaff:
		f.ActorKinds = []string{models.ActorAdmin, models.ActorStaff}
	case models.ActorSystem:
		f.ActorKinds = []string{models.ActorSystem}
	default:
		if f.ActorID = actor; p.Role != models.RoleAdmin { // a tenant may not learn which member of the staff it was
			f.ActorKinds = []string{models.ActorKey, models.ActorLink}
		}
	}
	rows, next, err := readPage(ctx, s, "audit log", func(ctx context.Context, store *models.Store) ([]models.AuditEntry, string, error) {
		return store.AuditLog(ctx, f, page)
	})
	if p.Role != models.RoleAdmin {
		for i := range rows {
			hideStaff(&rows[i])
		}
	}
	return rows, next, err
}

// hideStaff removes everything about a member of the platform's staff except that it was one.
func hideStaff(e *models.AuditEntry) {
	if e.ActorKind == models.ActorAdmin || e.ActorKind == models.ActorStaff {
		e.ActorKind, e.ActorID, e.ActorName, e.Address = models.ActorStaff, "", "", ""
	}
}

// NoteShown records that a system's API is about to show the secrets of webhooks.
func (s *Service) NoteShown(ctx context.Context, tenant string, webhookIDs ...string) error {
	return s.Store.NoteShown(ctx, tenant, webhookIDs...)
}

// webhookFace is the part of a webhook that the audit log compares.
type webhookFace struct {
	fields   map[string]any
	url      string
	headers  map[string]string
	settings map[string]string
	metadata map[string]string
	secret   string
}

func faceOf(w *models.Webhook, o *sealed) webhookFace {
	f := webhookFace{url: w.URL, headers: maps.Clone(o.headers), settings: maps.Clone(w.Settings), metadata: maps.Clone(w.Metadata), fields: map[string]any{
		"uid": w.UID, "channels": append([]string{}, w.Channels...), "name": w.Name, "description": w.Description, "event_types": slices.Clone(w.EventTypes), "retry": retryFace(w.Retry),
		"timeout": (time.Duration(w.TimeoutMS) * time.Millisecond).String(), "max_in_flight": w.MaxInFlight, "rate_limit": w.RateLimit}}
	if len(o.secrets) > 0 {
		f.secret = o.secrets[0].Value
	}
	return f
}

// retryFace returns a retry schedule without the parts that it leaves to the installation.
func retryFace(r models.Retry) map[string]any {
	face := map[string]any{}
	if r.Initial != 0 {
		face["initial"] = r.Initial.String()
	}
	if r.Backoff != 0 {
		face["backoff"] = r.Backoff
	}
	if r.MaxInterval != 0 {
		face["max_interval"] = r.MaxInterval.String()
	}
	if r.Max != nil {
		face["max"] = *r.Max
	}
	return face
}

// changesTo returns what has changed: headers, secrets, metadata and a system's settings by name only, URLs without
// their query.
func (f *webhookFace) changesTo(is webhookFace) models.AuditChanges {
	changes := models.AuditChanges{}
	changes.Between(f.fields, is.fields)
	if f.url != is.url {
		was, now := models.AuditURL(f.url), models.AuditURL(is.url)
		change := models.FromTo(was, now)
		if was == now {
			change["query"] = "changed"
		}
		changes["url"] = change
	}
	changes.Names("headers", f.headers, is.headers)
	changes.Names("settings", f.settings, is.settings)
	changes.Names("metadata", f.metadata, is.metadata)
	changes.Hidden("secret", f.secret != is.secret)
	return changes
}

// noteMade returns the audit note of a new webhook.
func noteMade(w *models.Webhook, o *sealed) *models.AuditNote {
	none := faceOf(&models.Webhook{EventTypes: []string{}}, &sealed{})
	changes := none.changesTo(faceOf(w, o))
	changes["profile"] = models.FromTo(nil, w.Profile)
	changes["status"] = models.FromTo(nil, string(w.Status))
	return &models.AuditNote{Changes: changes}
}

// noteChanged notes the difference between two states of a webhook.
func noteChanged(note *models.AuditNote, was, is webhookFace) {
	note.Changes = was.changesTo(is)
	note.Nothing = len(note.Changes) == 0
}
