-- When the last operational event of each kind of failure was added, in microseconds since 1970, and whether no event has said
-- since that a delivery was received.
ALTER TABLE webhook_health ADD COLUMN failing_announced_us bigint NOT NULL DEFAULT 0;
ALTER TABLE webhook_health ADD COLUMN failed_announced_us bigint NOT NULL DEFAULT 0;
ALTER TABLE webhook_health ADD COLUMN troubled boolean NOT NULL DEFAULT false;
