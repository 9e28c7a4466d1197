-- What shows at the start whether the encryption keyset fits the database, and what has become of notifications.

-- A known value sealed with each key that has sealed anything: see internal/hooks/keyset.go. An empty value: the key is
-- lost, and what it sealed is given up.
CREATE TABLE keyset_canary (
    key_id     bigint PRIMARY KEY,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL
);

-- result: sent, skipped (nobody was reached) or failed; '' = not finished, or by an earlier build.
ALTER TABLE notifications ADD COLUMN result text NOT NULL DEFAULT '';

-- What has become of the latest notification about the webhook, as JSON. Notifications go with the retention.
ALTER TABLE webhook_health ADD COLUMN last_notice text;
