-- For how long the event's data is kept where that is shorter than the retention.
ALTER TABLE events ADD COLUMN data_until timestamptz;
