-- online
-- The webhooks that are registered for operational events. Nearly every tenant has none.
CREATE INDEX CONCURRENTLY IF NOT EXISTS webhooks_operational ON webhooks (tenant, id) WHERE event_types LIKE '%"webhook.%' AND deleted_at IS NULL;
