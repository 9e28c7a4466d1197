-- What was not delivered, by tenant: lists of what failed, is held, pending or canceled, which nobody wants to look for
-- among a million that were.

CREATE INDEX deliveries_undelivered ON deliveries (tenant, id) WHERE status <> 'delivered';
