-- The time up to which a webhook's rate has been used by POSTs that were made: next_us is when the next may be planned
-- for, and what is late is made at another time than it was planned for.
ALTER TABLE webhook_paces ADD COLUMN sent_us bigint NOT NULL DEFAULT 0;
