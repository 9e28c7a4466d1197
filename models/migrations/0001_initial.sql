-- The schema Posthorn starts with. Written for PostgreSQL; migrate.go says what is put otherwise for SQLite.
-- Ids are a prefix and a UUIDv7: they sort by time, so a primary key also serves the lists and the retention.

CREATE TABLE tenants (
    id           text PRIMARY KEY,
    name         text NOT NULL,
    admin_emails text NOT NULL,
    version      bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);

CREATE TABLE api_keys (
    id         text PRIMARY KEY,
    tenant     text NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name       text NOT NULL,
    role       text NOT NULL,
    hash       bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX api_keys_tenant ON api_keys (tenant, id);

-- tenant is empty for the types every tenant shares.
CREATE TABLE event_types (
    tenant        text NOT NULL,
    name          text NOT NULL,
    system        text NOT NULL,
    title         text NOT NULL,
    category      text NOT NULL,
    description   text NOT NULL,
    documentation text NOT NULL,
    schema        text NOT NULL,
    example       text NOT NULL,
    deprecated    boolean NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant, name)
);

-- headers and secrets are encrypted: a custom header is as likely as not an access token.
CREATE TABLE webhooks (
    id            text PRIMARY KEY,
    tenant        text NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    profile       text NOT NULL,
    url           text NOT NULL,
    name          text NOT NULL,
    description   text NOT NULL,
    event_types   text NOT NULL,
    status        text NOT NULL,
    status_reason text NOT NULL,
    headers       bytea NOT NULL,
    secrets       bytea NOT NULL,
    settings      text NOT NULL,
    retry         text NOT NULL,
    timeout_ms    bigint NOT NULL,
    max_in_flight integer NOT NULL,
    rate_limit    double precision NOT NULL,
    created_by    text NOT NULL,
    updated_by    text NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    deleted_at    timestamptz
);
CREATE INDEX webhooks_tenant ON webhooks (tenant, id) WHERE deleted_at IS NULL;

-- Apart from webhooks because it changes with every failure: a narrow row makes that cheap.
CREATE TABLE webhook_health (
    webhook_id      text PRIMARY KEY REFERENCES webhooks (id) ON DELETE CASCADE,
    failed          bigint NOT NULL,
    epoch           bigint NOT NULL,
    warned          integer NOT NULL,
    last_failure_at timestamptz,
    last_status     integer NOT NULL,
    last_error      text NOT NULL,
    last_success_at timestamptz
) WITH (fillfactor = 80);

CREATE TABLE events (
    tenant     text NOT NULL,
    id         text NOT NULL,
    type       text NOT NULL,
    data       bytea,
    attributes text NOT NULL,
    created_at timestamptz NOT NULL,
    erased_at  timestamptz,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX events_list ON events (tenant, created_at, id);

CREATE TABLE deliveries (
    tenant          text NOT NULL,
    id              text NOT NULL,
    event_id        text NOT NULL,
    event_type      text NOT NULL,
    webhook_id      text NOT NULL,
    status          text NOT NULL,
    status_reason   text NOT NULL,
    attempts        integer NOT NULL,
    failures        integer NOT NULL,
    generation      integer NOT NULL,
    dispatch_id     text NOT NULL,
    next_attempt_at timestamptz,
    created_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    PRIMARY KEY (tenant, id)
) WITH (fillfactor = 80);
CREATE INDEX deliveries_webhook ON deliveries (webhook_id, id);
CREATE INDEX deliveries_event ON deliveries (tenant, event_id);
CREATE INDEX deliveries_open ON deliveries (webhook_id, id) WHERE status IN ('pending', 'held', 'failed');
CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE status = 'pending';

CREATE TABLE attempts (
    tenant           text NOT NULL,
    id               text NOT NULL,
    delivery_id      text NOT NULL,
    webhook_id       text NOT NULL,
    number           integer NOT NULL,
    started_at       timestamptz NOT NULL,
    duration_ms      bigint NOT NULL,
    status_code      integer NOT NULL,
    error            text NOT NULL,
    request_headers  text NOT NULL,
    response_headers text NOT NULL,
    response_body    bytea NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX attempts_delivery ON attempts (delivery_id);

-- The outbox: a row is a promise that a workflow will run for these deliveries. It is deleted with the record
-- that finishes the last of them.
CREATE TABLE dispatches (
    id         text PRIMARY KEY,
    deliveries text NOT NULL,
    created_at timestamptz NOT NULL,
    checked_at timestamptz NOT NULL
);

CREATE TABLE idempotency_keys (
    tenant     text NOT NULL,
    key        text NOT NULL,
    body_hash  bytea NOT NULL,
    answer     text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

CREATE TABLE recoveries (
    id          text PRIMARY KEY,
    tenant      text NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    webhook_id  text NOT NULL,
    status      text NOT NULL,
    statuses    text NOT NULL,
    reason      text NOT NULL,
    since       timestamptz,
    until       timestamptz NOT NULL,
    rate        double precision NOT NULL,
    sweep       boolean NOT NULL,
    position    text NOT NULL,
    total       bigint NOT NULL,
    released    bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX recoveries_webhook ON recoveries (webhook_id, id);

CREATE TABLE notifications (
    id         text PRIMARY KEY,
    tenant     text NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    webhook_id text NOT NULL,
    kind       text NOT NULL,
    detail     text NOT NULL,
    created_at timestamptz NOT NULL,
    sent_at    timestamptz
);
CREATE INDEX notifications_unsent ON notifications (webhook_id, id) WHERE sent_at IS NULL;
