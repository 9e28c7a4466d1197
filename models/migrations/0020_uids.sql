-- online
-- A uid is unique while what it names exists.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS webhooks_uid ON webhooks (tenant, uid) WHERE uid <> '' AND deleted_at IS NULL;
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS tenants_uid ON tenants (uid) WHERE uid <> '' AND deleted_at IS NULL;
