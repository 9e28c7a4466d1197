-- The number of the attempt that somebody has asked for: by a retry, a replay or a recovery; 0 = of none.
ALTER TABLE deliveries ADD COLUMN asked bigint NOT NULL DEFAULT 0;
