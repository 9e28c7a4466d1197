-- online
-- The failing webhooks, first of all in the lists of people who look after them.
CREATE INDEX CONCURRENTLY IF NOT EXISTS webhook_health_failing ON webhook_health (webhook_id) WHERE failed > 0;

-- What was said about a webhook, newest first.
CREATE INDEX CONCURRENTLY IF NOT EXISTS notifications_webhook ON notifications (webhook_id, id);
