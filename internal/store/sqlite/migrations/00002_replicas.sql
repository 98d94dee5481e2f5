-- What replicas, retention and operation need.

-- +goose Up

-- resume_at is the moment before which the tool asked to be left alone; it is set as soon as the tool said so.
ALTER TABLE drains ADD COLUMN paced_until INTEGER NOT NULL DEFAULT 0; -- at the tool's rate, no call before
ALTER TABLE drains ADD COLUMN waiting     INTEGER NOT NULL DEFAULT 0; -- items of the unfinished tasks
ALTER TABLE drains ADD COLUMN pending     INTEGER NOT NULL DEFAULT 0; -- unfinished tasks

UPDATE drains SET (waiting, pending) =
  (SELECT coalesce(sum(items), 0), count(*) FROM tasks WHERE tasks.integration = drains.integration AND tasks.status = 0);

-- It lies behind the document, but is only asked of tasks that have none yet.
ALTER TABLE tasks ADD COLUMN rewrite INTEGER NOT NULL DEFAULT 0; -- made by a doubt: it writes what the catalogue says

-- What is old enough to be removed.
CREATE INDEX tasks_ended ON tasks (completed_at) WHERE status <> 0;

-- Tombstones: a task was there and retention has removed it.
CREATE TABLE expired_tasks (
  id          TEXT    NOT NULL PRIMARY KEY, -- ids begin with the time, so rows are added at the end
  integration INTEGER NOT NULL REFERENCES integrations (seq),
  expired_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What is old enough to be forgotten.
CREATE INDEX expired_tasks_age ON expired_tasks (expired_at);

-- Numbers up to this one were given to tasks that are gone. SQLite would give the last ones away again, and the
-- catalogue names tasks by number.
CREATE TABLE task_numbers (
  one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  used INTEGER NOT NULL
) STRICT;
INSERT INTO task_numbers (one, used) VALUES (1, 0);

-- Which master key the credentials are sealed under.
CREATE TABLE master_key (
  one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  id       TEXT    NOT NULL,
  evidence BLOB    NOT NULL -- what the key alone can have made
) STRICT;

-- +goose Down

DROP TABLE master_key;
DROP TABLE task_numbers;
DROP TABLE expired_tasks;
DROP INDEX tasks_ended;
ALTER TABLE tasks DROP COLUMN rewrite;
ALTER TABLE drains DROP COLUMN pending;
ALTER TABLE drains DROP COLUMN waiting;
ALTER TABLE drains DROP COLUMN paced_until;
