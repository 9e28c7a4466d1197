-- online
-- Whether a webhook has a delivery of an event is one look, however many webhooks the event went to.
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_event_webhook ON deliveries (tenant, event_id, webhook_id);
DROP INDEX CONCURRENTLY IF EXISTS deliveries_event;

-- What a recovery has released, for its counts. Deliveries that no recovery has touched are not in it.
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_recovery ON deliveries (recovery_id, id) WHERE recovery_id <> '';

-- The lists over all tenants, newest first; those of what is held, has failed or was canceled by an index of their own.
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_id ON deliveries (id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_stopped_id ON deliveries (id) WHERE status IN ('held', 'failed', 'canceled');
