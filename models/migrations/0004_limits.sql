-- What all processes must agree on to keep to a webhook's limits. Only webhooks that have limits have rows here.

-- When the webhook's next delivery may be sent, in microseconds since 1970.
CREATE TABLE webhook_paces (
    webhook_id text PRIMARY KEY REFERENCES webhooks (id) ON DELETE CASCADE,
    next_us    bigint NOT NULL
);

-- How many POSTs a process may have in flight to the webhook, until a time.
CREATE TABLE webhook_leases (
    webhook_id text NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    holder     text NOT NULL,
    places     bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (webhook_id, holder)
);
