-- The audit log: who changed what. A row is written in the transaction that makes the change, and goes with a retention of its
-- own. Ids hold the time, so they serve the lists and the retention.

-- tenant is the internal id, which no other tenant is ever given; '' = the change is about the whole installation. tenant_slug
-- is what the tenant was called. changes is JSON.
CREATE TABLE audit_log (
    id          text PRIMARY KEY,
    at          timestamptz NOT NULL,
    tenant      text NOT NULL,
    tenant_slug text NOT NULL,
    actor_kind  text NOT NULL,
    actor_id    text NOT NULL,
    actor_name  text NOT NULL,
    action      text NOT NULL,
    target_kind text NOT NULL,
    target_id   text NOT NULL,
    changes     text NOT NULL,
    request_id  text NOT NULL,
    address     text NOT NULL
);
CREATE INDEX audit_log_tenant ON audit_log (tenant_slug, id);
CREATE INDEX audit_log_action ON audit_log (action, id);
CREATE INDEX audit_log_actor ON audit_log (actor_id, id);
CREATE INDEX audit_log_target ON audit_log (target_id, id);

-- Rows are added and expire; none is changed.
CREATE FUNCTION posthorn_audit_append() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
CREATE TRIGGER audit_log_append BEFORE UPDATE ON audit_log FOR EACH ROW EXECUTE FUNCTION posthorn_audit_append();
