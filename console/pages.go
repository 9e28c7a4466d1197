package console

import "net/http"

const (
	get, post = http.MethodGet, http.MethodPost
	keysPath  = "/keys"
)

// staffPages are the pages about no tenant. Only the console has them.
var staffPages = []page{
	{get, "", staff, (*visit).overview, true},
	{get, "/tenants", staff, (*visit).tenants, false},
	{post, "/tenants", staff, (*visit).createTenant, false},
	{get, "/webhooks", staff, (*visit).webhooks, true},
	{get, "/deliveries", staff, (*visit).deliveries, true},
	{get, "/recoveries", staff, (*visit).recoveries, true},
	{get, "/audit", staff, (*visit).audit, false},
	{get, "/event-types", staff, (*visit).eventTypes, false},
	{post, "/event-types", staff, (*visit).importCatalog, false},
	{get, "/event-types/new", staff, (*visit).newEventType, false},
	{post, "/event-types/new", staff, (*visit).saveEventType, false},
	{get, "/event-types/{name}/edit", staff, (*visit).editEventType, false},
	{post, "/event-types/{name}/edit", staff, (*visit).saveEventType, false},
}

// tenantPages are the pages about one tenant, in the console and in the portal.
var tenantPages = []page{
	{get, "", readers, (*visit).tenantOverview, true},
	{get, "/theme.css", readers, (*visit).theme, false},
	{get, "/webhooks", readers, (*visit).webhooks, true},
	{get, "/webhooks/new", owners, (*visit).newWebhook, false},
	{post, "/webhooks/new", owners, (*visit).createWebhook, false},
	{get, "/webhooks/{id}", readers, (*visit).webhook, true},
	{get, "/webhooks/{id}/edit", owners, (*visit).editWebhook, false},
	{post, "/webhooks/{id}/edit", owners, (*visit).saveWebhook, false},
	{get, "/webhooks/{id}/recover", owners, (*visit).askToRecover, false},
	{post, "/webhooks/{id}/recover", owners, (*visit).recoverWebhook, false},
	{post, "/webhooks/{id}/{action}", owners, (*visit).actOnWebhook, false},
	{get, "/deliveries", readers, (*visit).deliveries, true},
	{get, "/deliveries/{id}", readers, (*visit).delivery, true},
	{post, "/deliveries/{id}/{action}", owners, (*visit).actOnDelivery, false},
	{get, "/events", readers, (*visit).events, true},
	{get, "/events/{id}", readers, (*visit).event, true},
	{post, "/events/{id}/replay", owners, (*visit).replayEvent, false},
	{post, "/events/{id}/erase", owners, (*visit).eraseEvent, false},
	{get, "/recoveries", readers, (*visit).recoveries, true},
	{get, "/recoveries/{id}", readers, (*visit).recovery, true},
	{post, "/recoveries/{id}/cancel", owners, (*visit).cancelRecovery, false},
	{get, "/catalogue", readers, (*visit).catalogue, false},
	{post, "/catalogue", owners, (*visit).loadCatalog, false},
	{get, keysPath, keyReader, (*visit).keys, false},
	{post, keysPath, noLinks, (*visit).createKey, false},
	{post, "/keys/{id}/revoke", keyOwner, (*visit).revokeKey, false},
	{post, "/portal-links", noLinks, (*visit).createLink, false},
	{post, "/portal-links/revoke", noLinks, (*visit).revokeLinks, false},
	{get, "/audit", auditors, (*visit).audit, false},
	{get, "/settings", settings, (*visit).settings, false},
	{post, "/settings", settings, (*visit).saveSettings, false},
}
