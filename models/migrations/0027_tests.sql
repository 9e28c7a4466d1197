-- POSTs of tests, each with its record as JSON. They are not among the deliveries: nothing drives, retries or counts them.
CREATE TABLE tests (
    id         text PRIMARY KEY,
    tenant     text NOT NULL,
    webhook_id text NOT NULL,
    event_id   text NOT NULL,
    event_type text NOT NULL,
    status     text NOT NULL,
    attempt    text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX tests_tenant ON tests (tenant, id);
CREATE INDEX tests_webhook ON tests (tenant, webhook_id, id);
