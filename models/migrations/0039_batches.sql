-- Events of a batch whose deliveries follow when there is room for them: each event's to each member. See batch.go.
CREATE TABLE batches (
    tenant     text NOT NULL,
    id         text NOT NULL,
    created_at timestamptz NOT NULL,
    events     text NOT NULL,
    members    bytea NOT NULL,
    position   integer NOT NULL,
    PRIMARY KEY (tenant, id)
);
-- Finds the batch of an event: it has the event's time.
CREATE INDEX batches_created ON batches (tenant, created_at);
ALTER TABLE batches SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
