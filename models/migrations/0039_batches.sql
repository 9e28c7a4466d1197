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
ALTER TABLE batches SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);

-- The batch in which an event was accepted that had no deliveries at first. It stays when the batch is done.
ALTER TABLE events ADD COLUMN batch_id text;
