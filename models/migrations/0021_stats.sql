-- Statistics: what happened, by tenant, webhook, event type and time.

-- What is not merged yet. A transaction that accepts or records appends a row for each of its tenants, and waits for nobody.
-- data has all that it counted of the tenant.
CREATE TABLE stat_deltas (
    tenant text NOT NULL,
    id     text NOT NULL,
    data   bytea NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- tenant '' = all tenants, webhook_id '' = all webhooks, event_type '' = all types. A webhook's row has its types in data.
-- minute is when the row's time begins, in minutes since 1970, and span how many minutes it has: 1, 60 or 1440.
CREATE TABLE stats (
    tenant     text NOT NULL,
    webhook_id text NOT NULL,
    event_type text NOT NULL,
    minute     bigint NOT NULL,
    span       bigint NOT NULL,
    data       bytea NOT NULL,
    PRIMARY KEY (tenant, webhook_id, event_type, minute, span)
) WITH (fillfactor = 80);
CREATE INDEX stats_age ON stats (span, minute);

-- A queue: short, and every row is soon dead.
ALTER TABLE stat_deltas SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
-- The row of a minute changes while the minute lasts.
ALTER TABLE stats SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
