-- What the outside systems' APIs keep that webhooks, events and attempts have no place for.

-- A system's settings of a tenant while no webhook holds them.
CREATE TABLE system_settings (
    tenant     text NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    system     text NOT NULL,
    settings   text NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, system)
);

-- The attempts that somebody asked to repeat, and when last. Apart from the attempts, which are never changed.
CREATE TABLE replays (
    tenant      text NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    attempt_id  text NOT NULL,
    replayed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, attempt_id)
);
