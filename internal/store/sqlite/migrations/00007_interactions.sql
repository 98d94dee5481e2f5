-- The log of requests and their answers, for people. Nothing refers to it, and it refers to nothing: it may be incomplete,
-- and it outlives what it tells of.

-- +goose Up

CREATE TABLE interactions (
  seq         INTEGER NOT NULL PRIMARY KEY,
  id          TEXT    NOT NULL UNIQUE, -- begins with the time: pages of a list and ages are ranges of ids
  environment TEXT,                    -- null: the sender is not known
  integration TEXT,
  task        TEXT,
  start       INTEGER NOT NULL,        -- positions [start, stop) of the task's items that it may have been about
  stop        INTEGER NOT NULL,
  outbound    INTEGER NOT NULL,
  failed      INTEGER NOT NULL,
  status      INTEGER NOT NULL,        -- 0: no answer
  took        INTEGER NOT NULL,        -- microseconds
  api_key     TEXT,                    -- the readable start
  peer        TEXT,
  method      TEXT    NOT NULL,
  url         TEXT    NOT NULL,
  exchange    BLOB    NOT NULL         -- store.Exchange.Pack
) STRICT;

CREATE INDEX interactions_environment ON interactions (environment, id);
CREATE INDEX interactions_integration ON interactions (integration, id) WHERE integration IS NOT NULL;
CREATE INDEX interactions_task ON interactions (task, id) WHERE task IS NOT NULL;
CREATE INDEX interactions_failed ON interactions (environment, id) WHERE failed = 1;

-- +goose Down

DROP TABLE interactions;
