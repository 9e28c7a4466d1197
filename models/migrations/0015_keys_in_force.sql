-- online
-- The keys in force of a tenant: revoked ones stay, and reading those in force must not pass over them.
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_in_force ON api_keys (tenant, id) WHERE revoked_at IS NULL;
