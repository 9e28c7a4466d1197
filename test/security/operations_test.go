package security_test

// operation is one route of an API with what the tests of this package need to know of it. TestRoutes_EveryRouteIsKnown fails for a
// route that is mounted and not in the table.
type operation struct {
	route string // as Gin writes it
	// roles are those that may, admin included; "anyone" needs no key.
	roles string
	// body is one with which it succeeds. In body and query {webhook}, {event}, {delivery}, {recovery}, {erasure}, {call} and {uuid} (the
	// webhook's id without its prefix) stand for things of the tenant.
	body, query string
	form        bool // body is a form
	// audit are the actions that a call writes, nothing if it changes nothing. Every operation except a GET must have
	// it.
	audit string
	// first brings the tenant's things into the state in which the operation succeeds.
	first func(*world, *things)
}

// nothing is the audit of an operation that changes nothing: what it does is not management.
const nothing = "nothing"

const (
	all    = "admin tenant publish read"
	reader = "admin tenant read"
	owner  = "admin tenant"
	writer = "admin tenant publish"
	links  = "" // no key: the token of a portal link alone

	// The systems' APIs without a tenant in their paths take a tenant's keys alone.
	systemReader = "tenant read"
	systemOwner  = "tenant"
)

// operations returns all routes of all APIs.
var operations = []operation{
	{route: "GET /healthz", roles: "anyone"},
	{route: "GET /readyz", roles: "anyone"},
	{route: "GET /metrics", roles: "anyone"},
	{route: "GET /openapi.json", roles: "anyone"},
	{route: "GET /docs", roles: "anyone"},
	{route: "GET /console/tenants/:tenant/deliveries/:id", roles: "anyone"},

	{route: "GET /v1/tenants", roles: "admin"},
	{route: "PUT /v1/tenants/:tenant", roles: "admin", body: `{"name":"Renamed"}`, audit: "tenant.updated"},
	{route: "PATCH /v1/tenants/:tenant", roles: "admin", body: `{"name":"Changed"}`, audit: "tenant.updated"},
	{route: "GET /v1/tenants/:tenant", roles: reader},
	{route: "DELETE /v1/tenants/:tenant", roles: "admin", audit: "tenant.deleted"},
	{route: "POST /v1/tenants/:tenant/keys", roles: owner, body: `{"name":"ci","role":"read"}`, audit: "key.created"},
	{route: "GET /v1/tenants/:tenant/keys", roles: reader},
	{route: "DELETE /v1/tenants/:tenant/keys/:id", roles: owner, audit: "key.revoked"},

	{route: "POST /v1/tenants/:tenant/portal-links", roles: owner, body: `{"role":"tenant","name":"jane"}`, audit: "portal_link.created"},
	{route: "DELETE /v1/tenants/:tenant/portal-links", roles: owner, audit: "portal_links.revoked"},
	{route: "DELETE /v1/tenants/:tenant/portal-links/:id", roles: owner, audit: "portal_link.revoked"},

	{route: "GET /v1/event-types", roles: all},
	{route: "PUT /v1/event-types/:name", roles: "admin", body: `{"description":"Changed","schema":{"type":"object"}}`, audit: "event_type.created"},
	{route: "GET /v1/event-types/:name", roles: all, first: (*world).ownType},
	{route: "DELETE /v1/event-types/:name", roles: "admin", audit: "event_type.deleted", first: (*world).ownType},
	{route: "GET /v1/openapi/event-types", roles: all},
	{route: "POST /v1/openapi/event-types", roles: "admin", body: `{"openapi":"3.1.0","webhooks":{"imported.type":{"post":{}}}}`, audit: "event_type.created"},
	{route: "GET /v1/tenants/:tenant/event-types", roles: reader},
	{route: "PUT /v1/tenants/:tenant/catalogs/:system", roles: owner, audit: "catalog.loaded"},

	{route: "POST /v1/tenants/:tenant/webhooks", roles: owner, body: `{"url":"https://receiver.example/new?token=t0ken","headers":{"X-Auth":"s3cret"}}`, audit: "webhook.created"},
	{route: "GET /v1/tenants/:tenant/webhooks", roles: reader},
	{route: "GET /v1/tenants/:tenant/webhooks/:id", roles: reader},
	{route: "PATCH /v1/tenants/:tenant/webhooks/:id", roles: owner, body: `{"name":"Renamed","headers":{"X-Auth":"s3cret"}}`, audit: "webhook.updated"},
	{route: "DELETE /v1/tenants/:tenant/webhooks/:id", roles: owner, audit: "webhook.deleted"},
	{route: "POST /v1/tenants/:tenant/webhooks/:id/test", roles: owner, audit: nothing},
	{route: "POST /v1/tenants/:tenant/webhooks/:id/secret/rotate", roles: owner, audit: "webhook.secret_rotated"},
	{route: "POST /v1/tenants/:tenant/webhooks/:id/enable", roles: owner, audit: "webhook.enabled", first: (*world).disabled},
	{route: "POST /v1/tenants/:tenant/webhooks/:id/disable", roles: owner, audit: "webhook.disabled"},
	{route: "POST /v1/tenants/:tenant/webhooks/:id/pause", roles: owner, audit: "webhook.paused"},
	{route: "POST /v1/tenants/:tenant/webhooks/:id/resume", roles: owner, audit: "webhook.resumed", first: (*world).paused},
	{route: "POST /v1/tenants/:tenant/webhooks/:id/recover", roles: owner, audit: "recovery.created"},
	{route: "GET /v1/tenants/:tenant/recoveries", roles: reader, query: "webhook_id={webhook}"},
	{route: "GET /v1/tenants/:tenant/recoveries/:id", roles: reader},
	{route: "POST /v1/tenants/:tenant/recoveries/:id/cancel", roles: owner, audit: "recovery.canceled"},

	{route: "POST /v1/tenants/:tenant/events", roles: writer, body: `{"type":"thing.done","data":{}}`, audit: nothing},
	{route: "POST /v1/tenants/:tenant/events/batch", roles: writer, body: `{"events":[{"type":"thing.done","data":{}}]}`, audit: nothing},
	{route: "POST /v1/tenants/:tenant/events/match", roles: writer, body: `{"type":"thing.done","data":{}}`, audit: nothing},
	{route: "GET /v1/tenants/:tenant/events", roles: reader},
	{route: "GET /v1/tenants/:tenant/events/:id", roles: reader},
	{route: "DELETE /v1/tenants/:tenant/events/:id/payload", roles: owner, audit: "event.erased"},
	{route: "POST /v1/tenants/:tenant/events/:id/replay", roles: owner, body: `{"webhook_ids":["{webhook}"]}`, audit: "event.replayed", first: (*world).received},
	{route: "POST /v1/tenants/:tenant/erasures", roles: owner, body: `{"event_types":["thing.done"],"attribute":"customer:s3cret"}`, audit: "erasure.created"},
	{route: "GET /v1/tenants/:tenant/erasures/:id", roles: reader},

	{route: "GET /v1/tenants/:tenant/deliveries", roles: reader, query: "webhook_id={webhook}&event_id={event}"},
	{route: "GET /v1/tenants/:tenant/deliveries/:id", roles: reader},
	{route: "POST /v1/tenants/:tenant/deliveries/:id/retry", roles: owner, audit: "delivery.retried"},
	{route: "POST /v1/tenants/:tenant/deliveries/:id/cancel", roles: owner, audit: "delivery.canceled"},
	{route: "POST /v1/tenants/:tenant/deliveries/:id/pause", roles: owner, audit: "delivery.paused"},
	{route: "POST /v1/tenants/:tenant/deliveries/:id/resume", roles: owner, audit: "delivery.resumed", first: (*world).aside},

	{route: "GET /v1/webhooks", roles: "admin"},
	{route: "GET /v1/deliveries", roles: "admin", query: "webhook_id={webhook}&event_id={event}"},
	{route: "GET /v1/recoveries", roles: "admin", query: "webhook_id={webhook}"},

	{route: "GET /v1/stats", roles: "admin", query: "webhook_id={webhook}"},
	{route: "GET /v1/tenants/:tenant/stats", roles: reader, query: "webhook_id={webhook}"},
	{route: "GET /v1/audit", roles: "admin", query: "target={webhook}"},
	{route: "GET /v1/tenants/:tenant/audit", roles: reader, query: "target={webhook}"},

	{route: "POST /im4/webhooks", roles: "tenant settings", body: `{"webhook_url":"https://receiver.example/im4","webhook_order_created":false}`, audit: "webhook.updated"},
	{route: "GET /im4/webhooks", roles: systemReader},
	{route: "POST /im4/webhooks/test", roles: systemOwner, audit: nothing},

	{route: "POST /phrase/web/api2/v2/webhooks", roles: systemOwner, body: `{"url":"https://receiver.example/new","events":["JOB_CREATED"],"secretToken":"s3cret"}`, audit: "webhook.created"},
	{route: "GET /phrase/web/api2/v2/webhooks", roles: systemReader, audit: "webhook.secret_shown"},
	{route: "GET /phrase/web/api2/v2/webhooks/previews", roles: systemReader},
	{route: "GET /phrase/web/api2/v2/webhooks/:uid", roles: systemReader, audit: "webhook.secret_shown"},
	{route: "PUT /phrase/web/api2/v2/webhooks/:uid", roles: systemOwner, body: `{"url":"https://receiver.example/phrase","events":["JOB_CREATED"],"name":"Renamed"}`, audit: "webhook.updated webhook.secret_shown"},
	{route: "DELETE /phrase/web/api2/v2/webhooks/:uid", roles: systemOwner, audit: "webhook.deleted"},
	{route: "POST /phrase/web/api2/v2/webhooks/:uid/test", roles: systemOwner, query: "event=JOB_CREATED", audit: nothing},
	{route: "GET /phrase/web/api2/v1/webhooksCalls", roles: systemReader, query: "webhookUid={uuid}&webhookEventUid={event}&parentUid={call}"},
	{route: "POST /phrase/web/api2/v1/webhooksCalls/replay", roles: systemOwner, body: `{"webhookCalls":[{"uid":"{call}"}]}`, audit: "delivery.replayed"},
	{route: "POST /phrase/web/api2/v1/webhooksCalls/replay/latest", roles: systemOwner, audit: "delivery.replayed"},

	{route: "GET /languageweaver/api/v2/webhooks", roles: systemReader},
	{route: "POST /languageweaver/api/v2/webhooks", roles: systemOwner, form: true, body: "url=https://receiver.example/new&events=translation.created", audit: "webhook.created"},
	{route: "PUT /languageweaver/api/v2/webhooks/test", roles: systemOwner, form: true, body: "url=https://receiver.example/languageweaver", audit: nothing},
	{route: "GET /languageweaver/api/v2/webhooks/:uuid", roles: systemReader},
	{route: "PUT /languageweaver/api/v2/webhooks/:uuid", roles: systemOwner, form: true, body: "url=https://receiver.example/languageweaver&events=translation.created&description=Changed", audit: "webhook.updated"},
	{route: "DELETE /languageweaver/api/v2/webhooks/:uuid", roles: systemOwner, audit: "webhook.deleted"},

	{route: "GET /ewarehousing/webhooks", roles: systemReader},
	{route: "POST /ewarehousing/webhooks", roles: systemOwner, body: `{"url":"https://receiver.example/new","group":"stock","action":"updated","hash_secret":"s3cret"}`, audit: "webhook.created"},
	{route: "GET /ewarehousing/webhooks/:id", roles: systemReader},
	{route: "PATCH /ewarehousing/webhooks/:id", roles: systemOwner, body: `{"url":"https://receiver.example/changed"}`, audit: "webhook.updated"},
	{route: "PUT /ewarehousing/webhooks/:id", roles: systemOwner, body: `{"hash_secret":"s3cret"}`, audit: "webhook.updated"},
	{route: "DELETE /ewarehousing/webhooks/:id", roles: systemOwner, audit: "webhook.deleted"},

	{route: "GET /up42/webhooks/events", roles: reader},
	{route: "POST /up42/workspaces/:workspace/webhooks", roles: owner, body: `{"url":"https://receiver.example/new","name":"n","events":["order.status"],"active":true,"secret":"s3cret"}`, audit: "webhook.created"},
	{route: "GET /up42/workspaces/:workspace/webhooks", roles: reader, audit: "webhook.secret_shown"},
	{route: "GET /up42/workspaces/:workspace/webhooks/:id", roles: reader, audit: "webhook.secret_shown"},
	{route: "PUT /up42/workspaces/:workspace/webhooks/:id", roles: owner, body: `{"name":"Renamed"}`, audit: "webhook.updated webhook.secret_shown"},
	{route: "DELETE /up42/workspaces/:workspace/webhooks/:id", roles: owner, audit: "webhook.deleted"},
	{route: "POST /up42/workspaces/:workspace/webhooks/:id/tests", roles: owner, audit: nothing},

	{route: "GET /svix/api/v1/health", roles: "anyone"},
	{route: "GET /svix/api/v1/health/ping", roles: "anyone"},
	{route: "POST /svix/api/v1/auth/app-portal-access/:app_id", roles: owner, body: `{"readOnly":true}`, audit: "portal_link.created"},
	{route: "POST /svix/api/v1/auth/dashboard-access/:app_id", roles: owner, audit: "portal_link.created"},
	{route: "POST /svix/api/v1/auth/logout", roles: links, audit: "portal_link.revoked"},
	{route: "POST /svix/api/v1/auth/app/:app_id/expire-all", roles: owner, audit: "portal_links.revoked"},
	{route: "GET /svix/api/v1/app", roles: "admin"},
	{route: "POST /svix/api/v1/app", roles: "admin", body: `{"name":"Shop"}`, audit: "tenant.created"},
	{route: "GET /svix/api/v1/app/:app_id", roles: reader},
	{route: "PUT /svix/api/v1/app/:app_id", roles: "admin", body: `{"name":"Renamed"}`, audit: "tenant.updated"},
	{route: "PATCH /svix/api/v1/app/:app_id", roles: "admin", body: `{"name":"Changed"}`, audit: "tenant.updated"},
	{route: "DELETE /svix/api/v1/app/:app_id", roles: "admin", audit: "tenant.deleted"},
	{route: "GET /svix/api/v1/app/:app_id/endpoint", roles: reader},
	{route: "POST /svix/api/v1/app/:app_id/endpoint", roles: owner, body: `{"url":"https://receiver.example/new?token=t0ken","headers":{"X-Auth":"s3cret"}}`, audit: "webhook.created"},
	{route: "GET /svix/api/v1/app/:app_id/endpoint/:endpoint_id", roles: reader},
	{route: "PUT /svix/api/v1/app/:app_id/endpoint/:endpoint_id", roles: owner, body: `{"url":"https://receiver.example/svix","description":"Changed"}`, audit: "webhook.updated"},
	{route: "PATCH /svix/api/v1/app/:app_id/endpoint/:endpoint_id", roles: owner, body: `{"description":"Changed"}`, audit: "webhook.updated"},
	{route: "DELETE /svix/api/v1/app/:app_id/endpoint/:endpoint_id", roles: owner, audit: "webhook.deleted"},
	{route: "POST /svix/api/v1/app/:app_id/endpoint/:endpoint_id/recover", roles: owner, body: `{"since":"2999-01-01T00:00:00Z"}`, audit: "recovery.created"},
	{route: "POST /svix/api/v1/app/:app_id/endpoint/:endpoint_id/replay-missing", roles: owner, body: `{"since":"2999-01-01T00:00:00Z"}`, audit: "recovery.created"},
	{route: "POST /svix/api/v1/app/:app_id/endpoint/:endpoint_id/bulk-replay", roles: owner, body: `{"since":"2999-01-01T00:00:00Z"}`, audit: "recovery.created"},
	{route: "GET /svix/api/v1/app/:app_id/endpoint/:endpoint_id/stats", roles: reader},
	{route: "POST /svix/api/v1/app/:app_id/endpoint/:endpoint_id/send-example", roles: owner, body: `{"eventType":"svix.ping"}`, audit: nothing},
	{route: "GET /svix/api/v1/app/:app_id/endpoint/:endpoint_id/secret", roles: owner, audit: "webhook.secret_shown"},
	{route: "POST /svix/api/v1/app/:app_id/endpoint/:endpoint_id/secret/rotate", roles: owner, audit: "webhook.secret_rotated"},
	{route: "GET /svix/api/v1/app/:app_id/endpoint/:endpoint_id/headers", roles: reader},
	{route: "PUT /svix/api/v1/app/:app_id/endpoint/:endpoint_id/headers", roles: owner, body: `{"headers":{"X-Auth":"s3cret"}}`, audit: "webhook.updated"},
	{route: "PATCH /svix/api/v1/app/:app_id/endpoint/:endpoint_id/headers", roles: owner, body: `{"headers":{"X-Auth":"s3cret"}}`, audit: "webhook.updated"},
	{route: "GET /svix/api/v1/app/:app_id/endpoint/:endpoint_id/msg", roles: reader},
	{route: "GET /svix/api/v1/operational-webhook/endpoint", roles: "admin"},
	{route: "POST /svix/api/v1/operational-webhook/endpoint", roles: "admin", body: `{"url":"https://receiver.example/new?token=t0ken"}`, audit: "webhook.created", first: (*world).operational},
	{route: "GET /svix/api/v1/operational-webhook/endpoint/:endpoint_id", roles: "admin", first: (*world).operational},
	{route: "PUT /svix/api/v1/operational-webhook/endpoint/:endpoint_id", roles: "admin", body: `{"url":"https://receiver.example/svix"}`, audit: "webhook.updated", first: (*world).operational},
	{route: "DELETE /svix/api/v1/operational-webhook/endpoint/:endpoint_id", roles: "admin", audit: "webhook.deleted", first: (*world).operational},
	{route: "GET /svix/api/v1/operational-webhook/endpoint/:endpoint_id/secret", roles: "admin", audit: "webhook.secret_shown", first: (*world).operational},
	{route: "POST /svix/api/v1/operational-webhook/endpoint/:endpoint_id/secret/rotate", roles: "admin", audit: "webhook.secret_rotated", first: (*world).operational},
	{route: "GET /svix/api/v1/operational-webhook/endpoint/:endpoint_id/headers", roles: "admin", first: (*world).operational},
	{route: "PUT /svix/api/v1/operational-webhook/endpoint/:endpoint_id/headers", roles: "admin", body: `{"headers":{"X-Auth":"s3cret"}}`, audit: "webhook.updated", first: (*world).operational},
	{route: "GET /svix/api/v1/event-type", roles: all},
	{route: "POST /svix/api/v1/event-type", roles: "admin", body: `{"name":"svix.made","description":"Made"}`, audit: "event_type.created"},
	{route: "GET /svix/api/v1/event-type/:name", roles: all, first: (*world).ownType},
	{route: "PUT /svix/api/v1/event-type/:name", roles: "admin", body: `{"description":"Changed"}`, audit: "event_type.created"},
	{route: "PATCH /svix/api/v1/event-type/:name", roles: "admin", body: `{"description":"Changed"}`, audit: "event_type.updated", first: (*world).ownType},
	{route: "DELETE /svix/api/v1/event-type/:name", roles: "admin", audit: "event_type.updated", first: (*world).ownType},
	{route: "POST /svix/api/v1/event-type/import/openapi", roles: "admin", body: `{"spec":{"openapi":"3.1.0","webhooks":{"svix.imported":{"post":{}}}}}`, audit: "event_type.created"},
	{route: "POST /svix/api/v1/environment/export", roles: "admin", audit: nothing},
	{route: "POST /svix/api/v1/environment/import", roles: "admin", body: `{"eventTypes":[{"name":"svix.moved","description":"Moved"}]}`, audit: "event_type.created"},
	{route: "POST /svix/api/v1/stats/usage/app", roles: "admin", body: `{"since":"2026-11-01T00:00:00Z","until":"2026-11-02T00:00:00Z"}`, audit: nothing},
	{route: "PUT /svix/api/v1/stats/usage/event-types", roles: "admin", audit: nothing},
	{route: "GET /svix/api/v1/background-task", roles: "admin"},
	{route: "GET /svix/api/v1/background-task/:task_id", roles: "admin"},
	{route: "GET /svix/api/v1/app/:app_id/msg", roles: reader},
	{route: "POST /svix/api/v1/app/:app_id/msg", roles: writer, body: `{"eventType":"thing.done","payload":{}}`, audit: nothing},
	{route: "POST /svix/api/v1/app/:app_id/msg/precheck/active", roles: writer, body: `{"eventType":"thing.done"}`, audit: nothing},
	{route: "POST /svix/api/v1/app/:app_id/msg/bulk-expunge", roles: owner, body: `{"ids":["{event}"]}`, audit: "event.erased"},
	{route: "POST /svix/api/v1/app/:app_id/msg/expunge-all-contents", roles: owner, audit: "erasure.created"},
	{route: "GET /svix/api/v1/app/:app_id/msg/:msg_id", roles: reader},
	{route: "DELETE /svix/api/v1/app/:app_id/msg/:msg_id/content", roles: owner, audit: "event.erased"},
	{route: "GET /svix/api/v1/app/:app_id/msg/:msg_id/endpoint", roles: reader},
	{route: "POST /svix/api/v1/app/:app_id/msg/:msg_id/endpoint/:endpoint_id/resend", roles: owner, audit: "delivery.retried"},
	{route: "GET /svix/api/v1/app/:app_id/msg/:msg_id/attempt/:attempt_id", roles: reader},
	{route: "DELETE /svix/api/v1/app/:app_id/msg/:msg_id/attempt/:attempt_id/content", roles: owner, audit: "attempt.erased"},
	{route: "GET /svix/api/v1/app/:app_id/attempt/endpoint/:endpoint_id", roles: reader},
	{route: "GET /svix/api/v1/app/:app_id/attempt/msg/:msg_id", roles: reader},
}

// made are the calls that make a webhook through each system.
var made = map[string]operation{
	"im4":            {route: "POST /im4/webhooks", body: `{"webhook_url":"https://receiver.example/im4","webhook_order_created":true}`},
	"phrase":         {route: "POST /phrase/web/api2/v2/webhooks", body: `{"url":"https://receiver.example/phrase","events":["JOB_CREATED"],"secretToken":"s3cret"}`},
	"languageweaver": {route: "POST /languageweaver/api/v2/webhooks", form: true, body: "url=https://receiver.example/languageweaver&events=translation.created"},
	"ewarehousing":   {route: "POST /ewarehousing/webhooks", body: `{"url":"https://receiver.example/ewarehousing","group":"stock","action":"updated","hash_secret":"first"}`},
	"up42":           {route: "POST /up42/workspaces/:workspace/webhooks", body: `{"url":"https://receiver.example/up42","name":"n","events":["order.status"],"active":true,"secret":"s3cret"}`},
	"svix":           {route: "POST /svix/api/v1/app/:app_id/endpoint", body: `{"url":"https://receiver.example/svix"}`},
}
