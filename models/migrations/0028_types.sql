-- online
-- The deliveries and events of one event type, in the order of their lists: a rare type is found at once.
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_type ON deliveries (tenant, event_type, id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS events_type ON events (tenant, type, created_at, id);
