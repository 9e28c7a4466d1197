-- When a key was taken out of the keyset ("posthorn keyset remove"): nothing is sealed with it from then on, also by a
-- process that still has the earlier keyset. While sealed is not empty, the removal is under way.
ALTER TABLE keyset_canary ADD COLUMN removed_at timestamptz;
