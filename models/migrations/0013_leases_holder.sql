-- online
-- A process's leases go with it.
CREATE INDEX CONCURRENTLY IF NOT EXISTS webhook_leases_holder ON webhook_leases (holder);
