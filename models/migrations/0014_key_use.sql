-- When a key was last used, to about a minute. NULL: not since there is this column.
ALTER TABLE api_keys ADD COLUMN last_used_at timestamptz;
