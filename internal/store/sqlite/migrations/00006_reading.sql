-- Reading back: what a sync sees in a tool, and what people ask for skill by skill.

-- +goose Up

-- The last note on a skill, which holds while it is newer than written_at. So a write ends it without touching it.
ALTER TABLE skills ADD COLUMN noted        INTEGER; -- 1 the tool shows something else, 2 asked for, 3 the tool shows it no more; null: as written
ALTER TABLE skills ADD COLUMN noted_at     INTEGER;
ALTER TABLE skills ADD COLUMN noted_name   TEXT;    -- with 1 and 2
ALTER TABLE skills ADD COLUMN noted_status INTEGER; -- likewise

-- Lists, and skills by id. Ids begin with their time, so rows of it are added at the end.
CREATE INDEX skills_id ON skills (integration, id);

-- Skills of a tool that have no external id, and so no place in skills until somebody manages them.
CREATE TABLE remote_skills (
  integration INTEGER NOT NULL REFERENCES integrations (seq),
  remote_id   TEXT    NOT NULL,
  id          TEXT,             -- null until a whole sync has shown that it is none of skills
  name        TEXT    NOT NULL,
  status      INTEGER NOT NULL,
  changed_at  INTEGER NOT NULL,
  gone_at     INTEGER,          -- the tool shows it no more
  PRIMARY KEY (integration, remote_id)
) STRICT, WITHOUT ROWID;

-- Lists, and skills by id.
CREATE UNIQUE INDEX remote_skills_id ON remote_skills (integration, id) WHERE id IS NOT NULL;

-- The sync of an integration: the one that is queued or under way, else the last one.
CREATE TABLE syncs (
  integration  INTEGER NOT NULL PRIMARY KEY REFERENCES integrations (seq),
  due_at       INTEGER NOT NULL,            -- of the next one; of an active one: not before
  active       INTEGER NOT NULL DEFAULT 0,  -- queued or under way
  id           TEXT    NOT NULL DEFAULT '',
  whole        INTEGER NOT NULL DEFAULT 1,  -- it also looks for what is gone
  started_at   INTEGER,
  phase        INTEGER NOT NULL DEFAULT 0,  -- 0 listing, 1 comparing skills, 2 comparing remote_skills
  position     TEXT    NOT NULL DEFAULT '', -- where to go on in it: the tool's cursor, or the last key
  pages        INTEGER NOT NULL DEFAULT 0,
  attempt      INTEGER NOT NULL DEFAULT 0,  -- failed calls in a row
  records      INTEGER NOT NULL DEFAULT 0,  -- what the tool listed
  changed      INTEGER NOT NULL DEFAULT 0,  -- of them, what was not as it should be, or new
  gone         INTEGER NOT NULL DEFAULT 0,
  ended_at     INTEGER,
  succeeded_at INTEGER,
  error        TEXT                         -- why the last one failed; null if it did not
) STRICT;

-- Which sync is due?
CREATE INDEX syncs_due ON syncs (due_at);

-- What a whole sync has seen so far, a page a row: 8 bytes for each identifier. Gone when it ends.
CREATE TABLE sync_seen (
  integration INTEGER NOT NULL REFERENCES integrations (seq),
  page        INTEGER NOT NULL,
  block       BLOB    NOT NULL,
  PRIMARY KEY (integration, page)
) STRICT, WITHOUT ROWID;

-- The integrations there are come one after the other, over a day.
INSERT INTO syncs (integration, due_at) SELECT seq, unixepoch() * 1000 + abs(random()) % 86400000 FROM integrations;

-- +goose Down

DROP TABLE sync_seen;
DROP TABLE syncs;
DROP TABLE remote_skills;
DROP INDEX skills_id;
ALTER TABLE skills DROP COLUMN noted_status;
ALTER TABLE skills DROP COLUMN noted_name;
ALTER TABLE skills DROP COLUMN noted_at;
ALTER TABLE skills DROP COLUMN noted;
