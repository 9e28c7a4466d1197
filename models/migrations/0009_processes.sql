-- Which process holds what in its memory: others take it over as soon as the process is gone.

CREATE TABLE processes (
    id         bigint PRIMARY KEY,
    kind       text NOT NULL,
    host       text NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    gone_at    timestamptz,
    walked_at  timestamptz
) WITH (fillfactor = 80);

-- The process that accepted a delivery which waits in memory for a shared dispatch, and the one that has to start a
-- dispatch's workflow. Neither is indexed: only what is overdue is asked for its process, and only when one is gone.
ALTER TABLE deliveries ADD COLUMN process bigint;
ALTER TABLE dispatches ADD COLUMN process bigint;
