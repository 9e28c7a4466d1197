-- Which installation this database is. Temporal keeps the same id beside the task queue that the installation uses, so that
-- a second database under one task queue is refused.
CREATE TABLE installation (
    one  bigint PRIMARY KEY CHECK (one = 1),
    id   text NOT NULL
);
