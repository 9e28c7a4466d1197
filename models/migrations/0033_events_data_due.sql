-- online
-- The events whose data goes before they do, in the order in which it goes. Few events have a time of their own.
CREATE INDEX CONCURRENTLY IF NOT EXISTS events_data_until ON events (data_until) WHERE data_until IS NOT NULL AND erased_at IS NULL;
