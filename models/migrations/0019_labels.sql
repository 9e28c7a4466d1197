-- What events are found by beside their ids and types, and what callers call their own webhooks and tenants.

-- As they were posted, channels and tags as JSON; NULL = none.
ALTER TABLE events ADD COLUMN external_id text;
ALTER TABLE events ADD COLUMN channels text;
ALTER TABLE events ADD COLUMN tags text;

-- A row for each tag, channel, attribute and external id of an event: events that have none write nothing here. label is the
-- beginning of a hash of what it is, so that a long value makes no long index. created_at is the event's: lists are in its order.
CREATE TABLE event_labels (
    tenant     text NOT NULL,
    event_id   text NOT NULL,
    label      bytea NOT NULL,
    created_at timestamptz NOT NULL,
    external   boolean NOT NULL,
    PRIMARY KEY (tenant, event_id, label),
    FOREIGN KEY (tenant, event_id) REFERENCES events (tenant, id) ON DELETE CASCADE
);
CREATE INDEX event_labels_list ON event_labels (tenant, label, created_at, event_id);
CREATE UNIQUE INDEX event_labels_external ON event_labels (tenant, label) WHERE external;
ALTER TABLE event_labels SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

-- uid is the caller's own name for it, '' = none. metadata and channels are JSON.
ALTER TABLE webhooks ADD COLUMN uid text NOT NULL DEFAULT '';
ALTER TABLE webhooks ADD COLUMN metadata text NOT NULL DEFAULT '{}';
ALTER TABLE webhooks ADD COLUMN channels text NOT NULL DEFAULT '[]';
ALTER TABLE tenants ADD COLUMN uid text NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN metadata text NOT NULL DEFAULT '{}';
