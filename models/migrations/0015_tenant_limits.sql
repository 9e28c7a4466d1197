-- How many webhooks and keys a tenant may have, and has.

-- The tenant's own limits; NULL = the installation's.
ALTER TABLE tenants ADD COLUMN max_webhooks bigint;
ALTER TABLE tenants ADD COLUMN max_keys bigint;

-- The counts spare each new webhook a count over all rows. They are right while counted is the tenant's version. A new tenant's
-- are made when they are first needed, as -1 is no version, and made again when a process of an earlier build has raised the
-- version: it does not count.
ALTER TABLE tenants ADD COLUMN webhook_count bigint NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN key_count bigint NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN counted bigint NOT NULL DEFAULT -1;
