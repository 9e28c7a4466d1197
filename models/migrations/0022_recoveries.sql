-- Recoveries of what was delivered, canceled or missed, replays of an event, and erasures in bulk.

-- event_types narrows a recovery to some types; missed takes events without a delivery to the webhook, from events_since on.
-- event_id and members are of a replay: the event, and the webhooks that it is sent to.
ALTER TABLE recoveries ADD COLUMN event_types text NOT NULL DEFAULT '[]';
ALTER TABLE recoveries ADD COLUMN missed boolean NOT NULL DEFAULT false;
ALTER TABLE recoveries ADD COLUMN seeking boolean NOT NULL DEFAULT false;
ALTER TABLE recoveries ADD COLUMN events_since timestamptz;
ALTER TABLE recoveries ADD COLUMN event_id text NOT NULL DEFAULT '';
ALTER TABLE recoveries ADD COLUMN members bytea NOT NULL DEFAULT '';
ALTER TABLE recoveries ADD COLUMN skipped bigint NOT NULL DEFAULT 0;
ALTER TABLE recoveries ADD COLUMN delivered bigint NOT NULL DEFAULT 0;
ALTER TABLE recoveries ADD COLUMN failed bigint NOT NULL DEFAULT 0;
-- A page reads a part of the members: uncompressed, PostgreSQL need not read the rest.
ALTER TABLE recoveries ALTER COLUMN members SET STORAGE EXTERNAL;

-- The recovery that released or made the delivery last.
ALTER TABLE deliveries ADD COLUMN recovery_id text;

CREATE TABLE erasures (
    id          text PRIMARY KEY,
    tenant      text NOT NULL,
    status      text NOT NULL,
    until       timestamptz NOT NULL,
    event_types text NOT NULL,
    attribute   text NOT NULL,
    erased      bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX erasures_tenant ON erasures (tenant, id);
