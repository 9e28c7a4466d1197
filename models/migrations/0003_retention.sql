-- What retention looks for, so that it need not pass over everything that is to stay: see DeleteFinished.

CREATE INDEX deliveries_finished ON deliveries (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX events_age ON events (created_at);
