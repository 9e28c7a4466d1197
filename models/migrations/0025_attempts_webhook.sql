-- online
-- The attempts at a webhook, in the order of their list.
CREATE INDEX CONCURRENTLY IF NOT EXISTS attempts_webhook ON attempts (webhook_id, id);
