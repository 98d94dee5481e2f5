-- The dashboard: who may sign in and what they did, what an API key may do, and the indexes of its lists.

-- +goose Up

ALTER TABLE api_keys
  ADD COLUMN scopes         smallint NOT NULL DEFAULT 7,  -- store.Scopes; keys of before may do everything
  ADD COLUMN addresses      text NOT NULL DEFAULT '',     -- networks it may come from, separated by spaces; none: any
  ADD COLUMN created_by     text NOT NULL DEFAULT '',     -- a user's name; empty: the command line
  ADD COLUMN expires_at     timestamptz,
  ADD COLUMN last_used_at   timestamptz,
  ADD COLUMN last_used_from text NOT NULL DEFAULT '';

CREATE TABLE users (
  id           text COLLATE "C" NOT NULL PRIMARY KEY,
  name         text COLLATE "C" NOT NULL UNIQUE, -- what they sign in with, in small letters
  role         smallint NOT NULL,                -- store.Role
  password     text NOT NULL,                    -- its argon2id hash
  generation   bigint NOT NULL DEFAULT 1,        -- sessions of an earlier one are over
  created_at   timestamptz NOT NULL,
  signed_in_at timestamptz
);

CREATE TABLE sessions (
  token      text COLLATE "C" NOT NULL PRIMARY KEY, -- a hash of it
  data       bytea NOT NULL,
  expires_at timestamptz NOT NULL
);

CREATE INDEX sessions_age ON sessions (expires_at);

-- Links that make the first user. None is left once there is one.
CREATE TABLE setup_links (
  hash       bytea NOT NULL PRIMARY KEY,
  expires_at timestamptz NOT NULL
);

-- Attempts to sign in, by the account and the address that are limited.
CREATE TABLE sign_in_attempts (
  subject text COLLATE "C" NOT NULL,
  at      timestamptz NOT NULL
);

CREATE INDEX sign_in_attempts_subject ON sign_in_attempts (subject, at);
CREATE INDEX sign_in_attempts_age ON sign_in_attempts (at);

-- What people changed. An entry is written before the change.
CREATE TABLE audit (
  id             text COLLATE "C" NOT NULL PRIMARY KEY, -- begins with the time: the order of the log, and of its removal
  environment_id text COLLATE "C" NOT NULL,             -- empty: the server's own
  at             timestamptz NOT NULL,
  user_id        text NOT NULL,                         -- empty: the command line
  user_name      text NOT NULL,
  address        text NOT NULL,
  action         text NOT NULL,
  target         text NOT NULL,
  detail         text NOT NULL,
  failed         text NOT NULL DEFAULT ''               -- why nothing came of it
);

CREATE INDEX audit_environment ON audit (environment_id, id);

-- The list of ended tasks, newest first, and what became of their items, without a look at the tasks themselves; and of
-- those with failures.
CREATE INDEX results_listed ON results (integration, id) INCLUDE (completed_at, written, unchanged, failed);
CREATE INDEX results_failures ON results (integration, id) WHERE failed > 0;

-- +goose Down

DROP INDEX results_failures;
DROP INDEX results_listed;
DROP TABLE audit, sign_in_attempts, setup_links, sessions, users;
ALTER TABLE api_keys DROP COLUMN last_used_from, DROP COLUMN last_used_at, DROP COLUMN expires_at, DROP COLUMN created_by,
  DROP COLUMN addresses, DROP COLUMN scopes;
