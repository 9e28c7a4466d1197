-- online
-- The deliveries of an event, whichever tenant's it is: ids are a tenant's own, and so was the index of them.
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_of_event ON deliveries (event_id, tenant, webhook_id);
DROP INDEX CONCURRENTLY IF EXISTS deliveries_event_webhook;

-- The events with an external id, in a search of all tenants.
CREATE INDEX CONCURRENTLY IF NOT EXISTS event_labels_external_all ON event_labels (label) WHERE external;
