package models

// AuditAction is an action in the audit log's fixed vocabulary.
type AuditAction string

// The actions. docs/security.md describes each of them.
const (
	AuditTenantCreated AuditAction = "tenant.created"
	AuditTenantUpdated AuditAction = "tenant.updated"
	AuditTenantDeleted AuditAction = "tenant.deleted"

	AuditKeyCreated AuditAction = "key.created"
	AuditKeyRevoked AuditAction = "key.revoked"

	AuditPortalLinkCreated  AuditAction = "portal_link.created"
	AuditPortalLinkRevoked  AuditAction = "portal_link.revoked"
	AuditPortalLinksRevoked AuditAction = "portal_links.revoked" // all of a tenant, or those of some sessions

	AuditEventTypeCreated AuditAction = "event_type.created"
	AuditEventTypeUpdated AuditAction = "event_type.updated"
	AuditEventTypeDeleted AuditAction = "event_type.deleted"
	AuditCatalogLoaded    AuditAction = "catalog.loaded" // a system's event types became a tenant's own

	AuditWebhookCreated       AuditAction = "webhook.created"
	AuditWebhookUpdated       AuditAction = "webhook.updated"
	AuditWebhookDeleted       AuditAction = "webhook.deleted"
	AuditWebhookEnabled       AuditAction = "webhook.enabled"
	AuditWebhookDisabled      AuditAction = "webhook.disabled"
	AuditWebhookPaused        AuditAction = "webhook.paused"
	AuditWebhookResumed       AuditAction = "webhook.resumed"
	AuditWebhookDeactivated   AuditAction = "webhook.deactivated" // done by Posthorn
	AuditWebhookSecretRotated AuditAction = "webhook.secret_rotated"
	AuditWebhookSecretShown   AuditAction = "webhook.secret_shown" // by the API of a system that shows secrets

	AuditRecoveryCreated  AuditAction = "recovery.created"
	AuditRecoveryCanceled AuditAction = "recovery.canceled"

	AuditDeliveryRetried  AuditAction = "delivery.retried"
	AuditDeliveryReplayed AuditAction = "delivery.replayed" // by a system's call log, several at once
	AuditDeliveryCanceled AuditAction = "delivery.canceled"
	AuditDeliveryPaused   AuditAction = "delivery.paused"
	AuditDeliveryResumed  AuditAction = "delivery.resumed"

	AuditEventErased     AuditAction = "event.erased"
	AuditAttemptErased   AuditAction = "attempt.erased"   // the receiver's answer to it
	AuditEventReplayed   AuditAction = "event.replayed"   // sent again to webhooks
	AuditErasureCreated  AuditAction = "erasure.created"  // events in bulk
	AuditSettingsUpdated AuditAction = "settings.updated" // a system's settings that no webhook holds
)

// AuditActions are all actions, as the documentation lists them.
var AuditActions = []AuditAction{
	AuditTenantCreated, AuditTenantUpdated, AuditTenantDeleted,
	AuditKeyCreated, AuditKeyRevoked,
	AuditPortalLinkCreated, AuditPortalLinkRevoked, AuditPortalLinksRevoked,
	AuditEventTypeCreated, AuditEventTypeUpdated, AuditEventTypeDeleted, AuditCatalogLoaded,
	AuditWebhookCreated, AuditWebhookUpdated, AuditWebhookDeleted, AuditWebhookEnabled, AuditWebhookDisabled, AuditWebhookPaused,
	AuditWebhookResumed, AuditWebhookDeactivated, AuditWebhookSecretRotated, AuditWebhookSecretShown,
	AuditRecoveryCreated, AuditRecoveryCanceled,
	AuditDeliveryRetried, AuditDeliveryReplayed, AuditDeliveryCanceled, AuditDeliveryPaused, AuditDeliveryResumed,
	AuditEventErased, AuditAttemptErased, AuditEventReplayed, AuditErasureCreated, AuditSettingsUpdated,
}

// AuditTarget is the thing that was changed.
type AuditTarget struct {
	Kind string // tenant, key, portal_link, event_type, catalog, webhook, recovery, delivery, event, attempt, erasure or settings
	ID   string
}

// The kinds of actors.
const (
	ActorAdmin  = "admin"  // an admin key
	ActorStaff  = "staff"  // the platform's staff
	ActorKey    = "key"    // a key of the tenant
	ActorLink   = "link"   // a portal link
	ActorSystem = "system" // Posthorn itself
)
