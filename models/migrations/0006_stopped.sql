-- What is held, has failed or was canceled, by tenant and by webhook: lists that nobody wants to look for among a million
-- that were delivered. What is only pending on its way stays out of these, and costs them nothing.

CREATE INDEX deliveries_stopped ON deliveries (tenant, id) WHERE status IN ('held', 'failed', 'canceled');
CREATE INDEX deliveries_stopped_webhook ON deliveries (webhook_id, id) WHERE status IN ('held', 'failed', 'canceled');
