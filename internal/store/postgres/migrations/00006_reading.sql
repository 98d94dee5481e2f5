-- Reading back: what a sync sees in a tool, and what people ask for skill by skill.

-- +goose Up

-- The last note on a skill, which holds while it is newer than written_at. So a write ends it without touching it.
ALTER TABLE skills
  ADD COLUMN noted        smallint, -- 1 the tool shows something else, 2 asked for, 3 the tool shows it no more; null: as written
  ADD COLUMN noted_at     timestamptz,
  ADD COLUMN noted_name   text,     -- with 1 and 2
  ADD COLUMN noted_status smallint; -- likewise

-- Lists, and skills by id. Ids never change, so updates of a row stay on its page. The sum keeps the index from statements that
-- look for an origin_id: while a table is small, either would do, and their plans are made for good.
CREATE INDEX skills_id ON skills ((integration + 0), id);

-- Skills of a tool that have no external id, and so no place in skills until somebody manages them.
CREATE TABLE remote_skills (
  integration bigint NOT NULL,
  remote_id   text COLLATE "C" NOT NULL,
  id          text COLLATE "C", -- null until a whole sync has shown that it is none of skills
  name        text NOT NULL,
  status      smallint NOT NULL,
  changed_at  timestamptz NOT NULL,
  gone_at     timestamptz,      -- the tool shows it no more
  PRIMARY KEY (integration, remote_id)
) WITH (fillfactor = 90);

CREATE UNIQUE INDEX remote_skills_id ON remote_skills (integration, id) WHERE id IS NOT NULL;

-- The sync of an integration: the one that is queued or under way, else the last one.
CREATE TABLE syncs (
  integration  bigint NOT NULL PRIMARY KEY REFERENCES integrations (seq),
  due_at       timestamptz NOT NULL,                      -- of the next one; of an active one: not before
  active       boolean NOT NULL DEFAULT false,            -- queued or under way
  id           text COLLATE "C" NOT NULL DEFAULT '',
  whole        boolean NOT NULL DEFAULT true,             -- it also looks for what is gone
  started_at   timestamptz,
  phase        smallint NOT NULL DEFAULT 0,               -- 0 listing, 1 comparing skills, 2 comparing remote_skills
  position     text COLLATE "C" NOT NULL DEFAULT '',      -- where to go on in it: the tool's cursor, or the last key
  pages        integer NOT NULL DEFAULT 0,
  attempt      integer NOT NULL DEFAULT 0,                -- failed calls in a row
  records      bigint NOT NULL DEFAULT 0,                 -- what the tool listed
  changed      bigint NOT NULL DEFAULT 0,                 -- of them, what was not as it should be, or new
  gone         bigint NOT NULL DEFAULT 0,
  ended_at     timestamptz,
  succeeded_at timestamptz,
  error        text                                       -- why the last one failed; null if it did not
) WITH (fillfactor = 70);

CREATE INDEX syncs_due ON syncs (due_at);

-- What a whole sync has seen so far, a page a row: 8 bytes for each identifier. Gone when it ends.
CREATE TABLE sync_seen (
  integration bigint NOT NULL,
  page        integer NOT NULL,
  block       bytea NOT NULL,
  PRIMARY KEY (integration, page)
);

-- The integrations there are come one after the other, over a day.
INSERT INTO syncs (integration, due_at) SELECT seq, clock() + random() * interval '24 hours' FROM integrations;

-- +goose Down

DROP TABLE sync_seen, syncs, remote_skills;
DROP INDEX skills_id;
ALTER TABLE skills DROP COLUMN noted_status, DROP COLUMN noted_name, DROP COLUMN noted_at, DROP COLUMN noted;
