-- The log of requests and their answers, for people. Nothing refers to it, and it refers to nothing: it may be incomplete,
-- and it outlives what it tells of. Its days are dropped whole, as those of results are.

-- +goose Up

CREATE TABLE interactions (
  id          text COLLATE "C" NOT NULL PRIMARY KEY, -- begins with the time: pages of a list and days are ranges of ids
  environment text COLLATE "C",                      -- null: the sender is not known
  integration text COLLATE "C",
  task        text COLLATE "C",
  start       integer NOT NULL,                      -- positions [start, stop) of the task's items that it may have been about
  stop        integer NOT NULL,
  outbound    boolean NOT NULL,
  failed      boolean NOT NULL,
  status      smallint NOT NULL,                     -- 0: no answer
  took        bigint NOT NULL,                       -- microseconds
  api_key     text,                                  -- the readable start
  peer        text,
  method      text NOT NULL,
  url         text NOT NULL,
  exchange    bytea NOT NULL                         -- store.Exchange.Pack
) PARTITION BY RANGE (id);

CREATE INDEX interactions_environment ON interactions (environment, id);
CREATE INDEX interactions_integration ON interactions (integration, id) WHERE integration IS NOT NULL;
CREATE INDEX interactions_task ON interactions (task, id) WHERE task IS NOT NULL;
CREATE INDEX interactions_failed ON interactions (environment, id) WHERE failed;

-- It is packed already.
ALTER TABLE interactions ALTER COLUMN exchange SET STORAGE EXTERNAL;

CREATE TABLE interactions_default PARTITION OF interactions DEFAULT;

-- +goose Down

DROP TABLE interactions;
