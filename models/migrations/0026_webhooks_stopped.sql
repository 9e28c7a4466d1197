-- online
-- The webhooks that are not active are few, and looked for first.
CREATE INDEX CONCURRENTLY IF NOT EXISTS webhooks_stopped ON webhooks (status, id) WHERE status <> 'active' AND deleted_at IS NULL;
