-- The page where a customer connects its tool: what an environment wants of it, and the links that lead to it.

-- +goose Up

CREATE TABLE connect_settings (
  environment_id text COLLATE "C" NOT NULL PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
  origins        text NOT NULL, -- of pages that may embed it and are told the token, separated by spaces
  redirect       text NOT NULL  -- where it leads to in the end; empty: nowhere
);

CREATE TABLE connect_links (
  hash             bytea NOT NULL PRIMARY KEY,   -- SHA-256 of the link's token: the look-up of every page
  environment_id   text COLLATE "C" NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
  purpose          smallint NOT NULL,            -- store.Purpose
  integration_id   text COLLATE "C",             -- which is set up anew; once it was used, which was made
  tool             text,                         -- null: the customer chooses
  category         text NOT NULL,
  language         text NOT NULL,
  organisation     text NOT NULL,
  email            text,
  origin_id        text,
  created_at       timestamptz NOT NULL,
  expires_at       timestamptz NOT NULL,
  tries            integer NOT NULL DEFAULT 0,   -- of credentials, since tries_since
  tries_since      timestamptz NOT NULL DEFAULT 'epoch',
  used_at          timestamptz,
  token            bytea UNIQUE,                 -- SHA-256 of the token that the caller got in the end
  token_expires_at timestamptz
);

-- Those whose time is over, or that were used: then it ends.
CREATE INDEX connect_links_age ON connect_links (expires_at);

-- +goose Down

DROP TABLE connect_links;
DROP TABLE connect_settings;
