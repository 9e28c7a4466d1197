-- Recoveries of the deliveries of one channel or tag, or of those whose last answer was of one class: 4 = 400 to 499, 0 = none.
ALTER TABLE recoveries ADD COLUMN channel text NOT NULL DEFAULT '';
ALTER TABLE recoveries ADD COLUMN tag text NOT NULL DEFAULT '';
ALTER TABLE recoveries ADD COLUMN status_class bigint;
