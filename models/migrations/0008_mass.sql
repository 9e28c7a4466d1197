-- What lets a large act change one row at once and the rest in pages.

-- The rest of a large act: which rows are still to follow. See job.go.
CREATE TABLE jobs (
    id         text PRIMARY KEY,
    kind       text NOT NULL,
    tenant     text NOT NULL,
    webhook_id text NOT NULL,
    event_id   text NOT NULL,
    subject    text NOT NULL,
    reason     text NOT NULL,
    epoch      bigint NOT NULL,
    position   text NOT NULL,
    members    bytea NOT NULL,
    touched    bigint NOT NULL,
    errors     integer NOT NULL,
    due_at     timestamptz NOT NULL,
    created_at timestamptz NOT NULL
);
-- A page reads a part of the members: uncompressed, PostgreSQL need not read the rest.
ALTER TABLE jobs ALTER COLUMN members SET STORAGE EXTERNAL;
CREATE INDEX jobs_due ON jobs (due_at, id);
CREATE INDEX jobs_webhook ON jobs (webhook_id, id);
CREATE INDEX jobs_event ON jobs (tenant, event_id);
CREATE INDEX jobs_tenant ON jobs (tenant, id);

-- epoch rises with every change of status, so that a page about an earlier status changes nothing. version is the
-- tenant's version at the webhook's last change, so that what is cached of a tenant can be brought up to date by what
-- has changed.
ALTER TABLE webhooks ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE webhooks ADD COLUMN version bigint NOT NULL DEFAULT 0;
CREATE INDEX webhooks_version ON webhooks (tenant, version);

-- slug is what the tenant is called outside. Rows hang on the id, so that the name of a deleted tenant is free at once.
ALTER TABLE tenants ADD COLUMN slug text NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN deleted_at timestamptz;
UPDATE tenants SET slug = id;
CREATE UNIQUE INDEX tenants_slug ON tenants (slug) WHERE deleted_at IS NULL;

-- What a deleted tenant owned goes in pages, each of which begins where the one before has ended: see purge.go.
CREATE INDEX webhooks_deleted ON webhooks (tenant, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX recoveries_tenant ON recoveries (tenant, id);
CREATE INDEX notifications_tenant ON notifications (tenant, id);

-- The version of the event types that all tenants share: one row.
CREATE TABLE shared_catalog (
    id      integer PRIMARY KEY,
    version bigint NOT NULL
);
INSERT INTO shared_catalog (id, version) VALUES (1, 1);

-- claimed: the dispatch is noted on its deliveries. A shared dispatch begins without.
ALTER TABLE dispatches ADD COLUMN claimed boolean NOT NULL DEFAULT false;
CREATE INDEX dispatches_unclaimed ON dispatches (id) WHERE NOT claimed;

-- The reconciler walks what is due in this order; pages walk what is pending for a webhook in the other.
DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (next_attempt_at, id) WHERE status = 'pending';
DROP INDEX deliveries_open;
CREATE INDEX deliveries_pending ON deliveries (webhook_id, id) WHERE status = 'pending';

-- It was for finding what a resume had left behind; nothing is left behind any more. With statistics that lag, PostgreSQL
-- preferred it for the pages of a webhook and sorted everything that is held.
DROP INDEX deliveries_held;

-- The reconciler looks for the recoveries that run, among all that are kept.
CREATE INDEX recoveries_running ON recoveries (id) WHERE status = 'running';

-- What a pause holds, for the pages that release it or note another reason on it.
CREATE INDEX deliveries_paused ON deliveries (webhook_id, id) WHERE status = 'held' AND status_reason = 'webhook paused';

-- Processes of an earlier build may still run beside new ones: they know neither of slugs nor of a webhook's version.
CREATE FUNCTION posthorn_webhook_version() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP = 'INSERT' OR NEW.version = OLD.version THEN NEW.version := COALESCE((SELECT version FROM tenants WHERE id = NEW.tenant), NEW.version); END IF; RETURN NEW; END $$;
CREATE TRIGGER webhooks_version BEFORE INSERT OR UPDATE ON webhooks FOR EACH ROW EXECUTE FUNCTION posthorn_webhook_version();
CREATE FUNCTION posthorn_tenant_slug() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.slug = '' THEN NEW.slug := NEW.id; END IF; RETURN NEW; END $$;
CREATE TRIGGER tenants_slug BEFORE INSERT ON tenants FOR EACH ROW EXECUTE FUNCTION posthorn_tenant_slug();
