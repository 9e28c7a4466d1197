-- What hides an event type: from all lists, or from the portal links that have none of its flags.
ALTER TABLE event_types ADD COLUMN archived boolean NOT NULL DEFAULT false;
ALTER TABLE event_types ADD COLUMN feature_flags text;
ALTER TABLE sessions ADD COLUMN feature_flags text;
