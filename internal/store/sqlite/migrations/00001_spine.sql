-- Times are milliseconds since 1970, UTC. Booleans are 0 and 1. Every table that belongs to a tenant leads back to an
-- environment through integrations. What each index is for stands beside it.

-- +goose Up

CREATE TABLE environments (
  id         TEXT    NOT NULL PRIMARY KEY,
  name       TEXT    NOT NULL UNIQUE,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
  id             TEXT    NOT NULL PRIMARY KEY,
  environment_id TEXT    NOT NULL REFERENCES environments (id),
  name           TEXT    NOT NULL,
  prefix         TEXT    NOT NULL,        -- the readable start, to tell keys apart
  hash           BLOB    NOT NULL UNIQUE, -- SHA-256 of the key: the look-up of every request
  created_at     INTEGER NOT NULL,
  revoked_at     INTEGER
) STRICT;

CREATE TABLE integrations (
  seq               INTEGER NOT NULL PRIMARY KEY,
  id                TEXT    NOT NULL UNIQUE,
  environment_id    TEXT    NOT NULL REFERENCES environments (id),
  tool              TEXT    NOT NULL,
  name              TEXT    NOT NULL, -- the customer's organisation, as people know it
  end_user_email    TEXT,
  end_user_origin_id TEXT,
  settings          TEXT    NOT NULL DEFAULT '{}',
  settings_version  INTEGER NOT NULL DEFAULT 1,
  enabled           INTEGER NOT NULL DEFAULT 1,
  invalid_reason    TEXT,             -- the tool refused the credentials; null while they are good
  invalid_at        INTEGER,
  created_at        INTEGER NOT NULL,
  deleted_at        INTEGER
) STRICT;

-- Listing an environment's integrations.
CREATE INDEX integrations_environment ON integrations (environment_id, seq);

-- The queue: one small row an integration, apart from its settings because it is written all the time.
CREATE TABLE drains (
  integration INTEGER NOT NULL PRIMARY KEY REFERENCES integrations (seq),
  wanted      INTEGER NOT NULL DEFAULT 0, -- there is something to do
  resume_at   INTEGER NOT NULL DEFAULT 0, -- not before: the tool asked for patience
  notified_at INTEGER,                    -- a queue job that will wake a drain is waiting since then
  owner       TEXT,                       -- the lease: who, the how-manieth, until when
  epoch       INTEGER NOT NULL DEFAULT 0,
  until       INTEGER NOT NULL DEFAULT 0,
  skills      INTEGER NOT NULL DEFAULT 0  -- rows of the catalogue: lets a first load skip its look-ups
) STRICT;

-- The safety net's question: who has work and no live lease?
CREATE INDEX drains_wanted ON drains (resume_at) WHERE wanted = 1;

CREATE TABLE tasks (
  seq          INTEGER NOT NULL PRIMARY KEY, -- the order of acceptance, and so of work within an integration
  id           TEXT    NOT NULL UNIQUE,
  integration  INTEGER NOT NULL REFERENCES integrations (seq),
  key_id       TEXT    NOT NULL,             -- the API key that sent it
  status       INTEGER NOT NULL DEFAULT 0,   -- 0 pending, 1 completed, 2 failed
  items        INTEGER NOT NULL,
  done         INTEGER NOT NULL DEFAULT 0,   -- items with an outcome on disk
  written      INTEGER NOT NULL DEFAULT 0,
  unchanged    INTEGER NOT NULL DEFAULT 0,
  failed       INTEGER NOT NULL DEFAULT 0,
  started      INTEGER NOT NULL DEFAULT 0,   -- a drain has taken it up: only a drain may end it
  touched      INTEGER NOT NULL DEFAULT 0,   -- an item was written, or may have been: it cannot end FAILED
  attempt      INTEGER NOT NULL DEFAULT 0,   -- failed calls in a row, kept when a drain yields its place
  created_at   INTEGER NOT NULL,
  deadline     INTEGER NOT NULL,
  completed_at INTEGER,
  document     BLOB                          -- the answer to a poll, once the task has ended; last: it may be large
) STRICT;

-- A drain's next task.
CREATE INDEX tasks_pending ON tasks (integration, seq) WHERE status = 0;
-- The tasks whose time is up.
CREATE INDEX tasks_deadline ON tasks (deadline) WHERE status = 0;

-- A task's items in encoded blocks (skill.AppendItems), by the position of the first.
CREATE TABLE task_items (
  task  INTEGER NOT NULL REFERENCES tasks (seq),
  start INTEGER NOT NULL,
  block BLOB    NOT NULL,
  PRIMARY KEY (task, start)
) STRICT, WITHOUT ROWID;

-- The checkpoints of a task that goes on (skill.AppendOutcomes). Gone once the task has its document.
CREATE TABLE task_outcomes (
  task  INTEGER NOT NULL REFERENCES tasks (seq),
  start INTEGER NOT NULL,
  block BLOB    NOT NULL,
  PRIMARY KEY (task, start)
) STRICT, WITHOUT ROWID;

-- What is on its way to a tool right now: positions [start, stop) of a task, opened by the drain of that epoch.
CREATE TABLE intents (
  integration INTEGER NOT NULL REFERENCES integrations (seq),
  task        INTEGER NOT NULL REFERENCES tasks (seq),
  start       INTEGER NOT NULL,
  stop        INTEGER NOT NULL,
  epoch       INTEGER NOT NULL,
  opened_at   INTEGER NOT NULL,
  PRIMARY KEY (integration, task, start)
) STRICT, WITHOUT ROWID;

-- The catalogue: what each tool holds, as far as we know. A row is for ever, and so is its id. Rows lie in the order
-- they were made, so that a file which is pushed again touches neighbouring pages whatever its origin_ids look like.
CREATE TABLE skills (
  seq           INTEGER NOT NULL PRIMARY KEY,
  integration   INTEGER NOT NULL REFERENCES integrations (seq),
  origin_id     TEXT    NOT NULL,
  id            TEXT    NOT NULL,
  remote_id     TEXT,
  name          TEXT    NOT NULL, -- as last written; as last asked for while nothing was written
  status        INTEGER NOT NULL,
  hash          BLOB,             -- of the content the tool holds; null: not known, so never skipped
  unsure        INTEGER NOT NULL DEFAULT 0, -- it left for the tool and no answer told what became of it
  written_at    INTEGER,
  written_by    INTEGER,          -- the task
  error_code    TEXT,             -- of the last attempt, if that failed
  error_message TEXT,
  error_at      INTEGER,
  UNIQUE (integration, origin_id)
) STRICT;

-- The sandbox tool: a vendor's tables, so they know nothing of the tables above. An account remembers its traffic for
-- the rate limit.
CREATE TABLE sandbox_accounts (
  seq          INTEGER NOT NULL PRIMARY KEY,
  name         TEXT    NOT NULL UNIQUE,
  window_start INTEGER NOT NULL DEFAULT 0,
  window_calls INTEGER NOT NULL DEFAULT 0,
  calls        INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE sandbox_skills (
  seq         INTEGER NOT NULL PRIMARY KEY, -- the tool's own id is made from it
  account     INTEGER NOT NULL REFERENCES sandbox_accounts (seq),
  external_id TEXT    NOT NULL,
  name        TEXT    NOT NULL,
  active      INTEGER NOT NULL,
  writes      INTEGER NOT NULL DEFAULT 1,   -- how often it was written: tests count on it
  updated_at  INTEGER NOT NULL,
  UNIQUE (account, external_id)
) STRICT;

-- How far the script of an external id has got.
CREATE TABLE sandbox_scripts (
  account     INTEGER NOT NULL REFERENCES sandbox_accounts (seq),
  external_id TEXT    NOT NULL,
  step        INTEGER NOT NULL,
  PRIMARY KEY (account, external_id)
) STRICT, WITHOUT ROWID;

-- +goose Down

DROP TABLE sandbox_scripts;
DROP TABLE sandbox_skills;
DROP TABLE sandbox_accounts;
DROP TABLE skills;
DROP TABLE intents;
DROP TABLE task_outcomes;
DROP TABLE task_items;
DROP TABLE tasks;
DROP TABLE drains;
DROP TABLE integrations;
DROP TABLE api_keys;
DROP TABLE environments;
