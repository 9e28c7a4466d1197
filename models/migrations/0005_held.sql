-- What is held, by what holds it: the reconciler asks of every active webhook whether a pause has left something behind,
-- and must not pass over all that is pending or has failed to know that nothing is.

CREATE INDEX deliveries_held ON deliveries (webhook_id, status_reason, id) WHERE status = 'held';
