-- The most deliveries a second to all webhooks of a tenant together; 0 = no limit.
ALTER TABLE tenants ADD COLUMN rate_limit double precision NOT NULL DEFAULT 0;

-- When the next POST of a tenant that has such a rate keeps to it, in microseconds since 1970.
CREATE TABLE tenant_paces (
    tenant  text PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    sent_us bigint NOT NULL
);
ALTER TABLE tenant_paces SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0);
