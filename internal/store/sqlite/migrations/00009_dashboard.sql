-- The dashboard: who may sign in and what they did, what an API key may do, and the indexes of its lists.

-- +goose Up

ALTER TABLE api_keys ADD COLUMN scopes         INTEGER NOT NULL DEFAULT 7;  -- store.Scopes; keys of before may do everything
ALTER TABLE api_keys ADD COLUMN addresses      TEXT    NOT NULL DEFAULT ''; -- networks it may come from, separated by spaces; none: any
ALTER TABLE api_keys ADD COLUMN created_by     TEXT    NOT NULL DEFAULT ''; -- a user's name; empty: the command line
ALTER TABLE api_keys ADD COLUMN expires_at     INTEGER;
ALTER TABLE api_keys ADD COLUMN last_used_at   INTEGER;
ALTER TABLE api_keys ADD COLUMN last_used_from TEXT    NOT NULL DEFAULT '';

CREATE TABLE users (
  id           TEXT    NOT NULL PRIMARY KEY,
  name         TEXT    NOT NULL UNIQUE,      -- what they sign in with, in small letters
  role         INTEGER NOT NULL,             -- store.Role
  password     TEXT    NOT NULL,             -- its argon2id hash
  generation   INTEGER NOT NULL DEFAULT 1,   -- sessions of an earlier one are over
  created_at   INTEGER NOT NULL,
  signed_in_at INTEGER
) STRICT;

CREATE TABLE sessions (
  token      TEXT    NOT NULL PRIMARY KEY,   -- a hash of it
  data       BLOB    NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Those that are over.
CREATE INDEX sessions_age ON sessions (expires_at);

-- Links that make the first user. None is left once there is one.
CREATE TABLE setup_links (
  hash       BLOB    NOT NULL PRIMARY KEY,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Attempts to sign in, by the account and the address that are limited.
CREATE TABLE sign_in_attempts (
  subject TEXT    NOT NULL,
  at      INTEGER NOT NULL
) STRICT;

-- How many lately, and which are too old.
CREATE INDEX sign_in_attempts_subject ON sign_in_attempts (subject, at);
CREATE INDEX sign_in_attempts_age ON sign_in_attempts (at);

-- What people changed. An entry is written before the change.
CREATE TABLE audit (
  id             TEXT    NOT NULL PRIMARY KEY, -- begins with the time: the order of the log, and of its removal
  environment_id TEXT    NOT NULL,             -- empty: the server's own
  at             INTEGER NOT NULL,
  user_id        TEXT    NOT NULL,             -- empty: the command line
  user_name      TEXT    NOT NULL,
  address        TEXT    NOT NULL,
  action         TEXT    NOT NULL,
  target         TEXT    NOT NULL,
  detail         TEXT    NOT NULL,
  failed         TEXT    NOT NULL DEFAULT ''   -- why nothing came of it
) STRICT, WITHOUT ROWID;

-- The log of one environment.
CREATE INDEX audit_environment ON audit (environment_id, id);

-- The list of tasks, newest first; of those with failures; of those that failed.
CREATE INDEX tasks_listed ON tasks (integration, id);
CREATE INDEX tasks_failures ON tasks (integration, id) WHERE failed > 0;
CREATE INDEX tasks_failed ON tasks (integration, id) WHERE status = 2;

-- What is old enough to be removed; and what became of items lately, without a look at the tasks themselves.
DROP INDEX tasks_ended;
CREATE INDEX tasks_ended ON tasks (completed_at, integration, written, unchanged, failed) WHERE status <> 0;

-- +goose Down

DROP INDEX tasks_ended;
CREATE INDEX tasks_ended ON tasks (completed_at) WHERE status <> 0;
DROP INDEX tasks_failed;
DROP INDEX tasks_failures;
DROP INDEX tasks_listed;
DROP TABLE audit;
DROP TABLE sign_in_attempts;
DROP TABLE setup_links;
DROP TABLE sessions;
DROP TABLE users;
ALTER TABLE api_keys DROP COLUMN last_used_from;
ALTER TABLE api_keys DROP COLUMN last_used_at;
ALTER TABLE api_keys DROP COLUMN expires_at;
ALTER TABLE api_keys DROP COLUMN created_by;
ALTER TABLE api_keys DROP COLUMN addresses;
ALTER TABLE api_keys DROP COLUMN scopes;
