package models

import (
	"context"
	"encoding/json"
	"slices"
)

// auditTenant logs a change of a tenant; was is the zero Tenant if it is new. Addresses are personal data, so the log
// has only their number.
func (s *Store) auditTenant(ctx context.Context, was, is *Tenant) error {
	action, changes := AuditTenantUpdated, AuditChanges{}
	if was.ID == "" {
		action = AuditTenantCreated
	}
	changes.Between(map[string]any{"name": was.Name, "uid": was.UID, "limits.webhooks": was.MaxWebhooks, "limits.keys": was.MaxKeys, "limits.rate": was.RateLimit},
		map[string]any{"name": is.Name, "uid": is.UID, "limits.webhooks": is.MaxWebhooks, "limits.keys": is.MaxKeys, "limits.rate": is.RateLimit})
	if !slices.Equal(was.AdminEmails, is.AdminEmails) {
		changes["admin_emails"] = FromTo(len(was.AdminEmails), len(is.AdminEmails))
	}
	changes.Names("metadata", was.Metadata, is.Metadata)
	if action == AuditTenantUpdated && len(changes) == 0 {
		return nil
	}
	return s.audit(ctx, is.ID, action, AuditTarget{"tenant", is.Slug}, changes)
}

// auditStatus logs a change of a webhook's status.
func (s *Store) auditStatus(ctx context.Context, w *Webhook, was WebhookStatus, c StatusChange) error {
	action := AuditWebhookDeactivated
	switch {
	case c.To == WebhookActive && (c.Reset || c.Recover == nil):
		action = AuditWebhookEnabled
	case c.To == WebhookActive:
		action = AuditWebhookResumed
	case c.To == WebhookPaused:
		action = AuditWebhookPaused
	case c.To == WebhookDisabled:
		action = AuditWebhookDisabled
	}
	changes := AuditChanges{}
	changes.Between(map[string]any{"status": string(was)}, map[string]any{"status": string(c.To)})
	if c.Reason != "" {
		changes["status_reason"] = FromTo(nil, c.Reason)
	}
	if c.Recover != nil {
		changes["recovery"] = FromTo(nil, c.Recover.ID)
	}
	return s.audit(ctx, w.Tenant, action, AuditTarget{"webhook", w.ID}, changes)
}

// auditTypes logs changed event types: a single one by itself, several as the catalogue of a system.
func (s *Store) auditTypes(ctx context.Context, changed []EventType, stored map[string]*EventType) error {
	first := changed[0]
	if first.System != "" {
		changes := AuditChanges{}
		for _, t := range changed {
			if stored[t.Name] == nil {
				changes.count("added")
			} else {
				changes.count("updated")
			}
		}
		return s.audit(ctx, first.Tenant, AuditCatalogLoaded, AuditTarget{"catalog", first.System}, changes)
	}
	for _, t := range changed {
		action, was, changes := AuditEventTypeUpdated, stored[t.Name], AuditChanges{}
		if was == nil {
			action, was = AuditEventTypeCreated, &EventType{}
		}
		changes.Between(map[string]any{"description": was.Description, "deprecated": was.Deprecated, "archived": was.Archived},
			map[string]any{"description": t.Description, "deprecated": t.Deprecated, "archived": t.Archived})
		if !slices.Equal(was.FeatureFlags, t.FeatureFlags) {
			changes["feature_flags"] = FromTo(was.FeatureFlags, t.FeatureFlags)
		}
		changes.Hidden("schema", was.Schema != t.Schema)
		changes.Hidden("example", was.Example != t.Example)
		if err := s.audit(ctx, t.Tenant, action, AuditTarget{"event_type", t.Name}, changes); err != nil {
			return err
		}
	}
	return nil
}

func (c AuditChanges) count(name string) {
	n, _ := c[name].(int)
	c[name] = n + 1
}

// auditRecovery logs that a recovery started or was canceled.
func (s *Store) auditRecovery(ctx context.Context, r *Recovery, action AuditAction) error {
	if r.WebhookID == "" && action == AuditRecoveryCreated {
		return s.audit(ctx, r.Tenant, AuditEventReplayed, AuditTarget{"event", r.EventID}, AuditChanges{"recovery": r.ID, "webhooks": r.Total})
	}
	changes := AuditChanges{"webhook_id": r.WebhookID}
	if r.WebhookID == "" {
		changes = AuditChanges{"event_id": r.EventID}
	}
	if action == AuditRecoveryCreated {
		changes["statuses"], changes["until"], changes["rate"] = r.Statuses, r.Until, r.Rate
		if r.Since != nil {
			changes["since"] = *r.Since
		}
		if len(r.EventTypes) > 0 {
			changes["event_types"] = auditList(r.EventTypes)
		}
		for name, value := range map[string]string{"channel": r.Channel, "tag": r.Tag} {
			if value != "" {
				changes[name] = auditCut(value)
			}
		}
		if r.StatusClass != nil {
			changes["status_class"] = *r.StatusClass
		}
		if r.Missed {
			changes["missed"] = true
		}
	}
	return s.audit(ctx, r.Tenant, action, AuditTarget{"recovery", r.ID}, changes)
}

// auditDelivery logs a change of one delivery. If the context does not name the action, it follows from the delivery's
// new status.
func (s *Store) auditDelivery(ctx context.Context, d *Delivery, was DeliveryStatus) error {
	action := AuditDeliveryRetried
	switch {
	case d.Status == Canceled:
		action = AuditDeliveryCanceled
	case d.Status == Held:
		action = AuditDeliveryPaused
	case was == Held:
		action = AuditDeliveryResumed
	}
	return s.audit(ctx, d.Tenant, action, AuditTarget{"delivery", d.ID},
		AuditChanges{"status": FromTo(string(was), string(d.Status)), "webhook_id": d.WebhookID, "event_id": d.EventID})
}

// auditSettings logs a change of a system's settings: switches with their values, all others by name only.
func (s *Store) auditSettings(ctx context.Context, was, is *SystemSettings) error {
	fields := func(text string) map[string]any {
		values := map[string]any{}
		_ = json.Unmarshal([]byte(text), &values) // "" = none
		return values
	}
	before, after, changes := fields(was.Settings), fields(is.Settings), AuditChanges{}
	for name, value := range after {
		if _, ok := value.(bool); ok {
			changes.Between(map[string]any{name: before[name]}, map[string]any{name: value})
		} else {
			changes.Hidden(name, jsonText(before[name]) != jsonText(value))
		}
	}
	return s.audit(ctx, is.Tenant, AuditSettingsUpdated, AuditTarget{"settings", is.System}, changes)
}
