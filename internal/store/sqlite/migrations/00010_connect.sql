-- The page where a customer connects its tool: what an environment wants of it, and the links that lead to it.

-- +goose Up

CREATE TABLE connect_settings (
  environment_id TEXT NOT NULL PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
  origins        TEXT NOT NULL, -- of pages that may embed it and are told the token, separated by spaces
  redirect       TEXT NOT NULL  -- where it leads to in the end; empty: nowhere
) STRICT, WITHOUT ROWID;

CREATE TABLE connect_links (
  hash             BLOB    NOT NULL PRIMARY KEY, -- SHA-256 of the link's token: the look-up of every page
  environment_id   TEXT    NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
  purpose          INTEGER NOT NULL,             -- store.Purpose
  integration_id   TEXT,                         -- which is set up anew; once it was used, which was made
  tool             TEXT,                         -- null: the customer chooses
  category         TEXT    NOT NULL,
  language         TEXT    NOT NULL,
  organisation     TEXT    NOT NULL,
  email            TEXT,
  origin_id        TEXT,
  created_at       INTEGER NOT NULL,
  expires_at       INTEGER NOT NULL,
  tries            INTEGER NOT NULL DEFAULT 0,   -- of credentials, since tries_since
  tries_since      INTEGER NOT NULL DEFAULT 0,
  used_at          INTEGER,
  token            BLOB    UNIQUE,               -- SHA-256 of the token that the caller got in the end
  token_expires_at INTEGER
) STRICT, WITHOUT ROWID;

-- Those whose time is over, or that were used: then it ends.
CREATE INDEX connect_links_age ON connect_links (expires_at);

-- +goose Down

DROP TABLE connect_links;
DROP TABLE connect_settings;
