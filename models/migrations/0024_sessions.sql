-- Sessions of people, and the portal links that lead to them. A row is the permission to act for a key, or for a tenant through a
-- link. Up to three secrets open it, each kept as its SHA-256: the code of a link, which works once and makes the session, the
-- cookie of the session, and the token that calls the API. A link is in force while its epoch is its tenant's.
CREATE TABLE sessions (
    id           text PRIMARY KEY,
    tenant       text NOT NULL,
    kind         text NOT NULL,
    name         text NOT NULL,
    role         text NOT NULL,
    key_id       text NOT NULL,
    capabilities text NOT NULL,
    theme        text NOT NULL,
    epoch        bigint NOT NULL,
    code         text UNIQUE,
    cookie       text UNIQUE,
    token        text UNIQUE,
    proof        text NOT NULL,
    code_until   timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX sessions_tenant ON sessions (tenant, id);
CREATE INDEX sessions_links ON sessions (tenant, epoch, expires_at) WHERE kind = 'link';

-- Raised to revoke all links of a tenant at once.
ALTER TABLE tenants ADD COLUMN link_epoch bigint NOT NULL DEFAULT 0;
