-- The search for skills by words of their names, and lists of those that need somebody.

-- +goose Up

-- The words of each name (store.IndexedWords), and "=" with the number of its integration. The number of a row is that of the
-- skill. The words themselves are not kept here: a row that is found is looked at in skills.
CREATE VIRTUAL TABLE skill_words USING fts5(words, content='', contentless_delete=1, detail=none, tokenize="ascii tokenchars '@=+#'");

-- Skills whose names may have changed since they came into skill_words. A step that writes skills adds one row for all of them.
CREATE TABLE unsearched (
  seq         INTEGER NOT NULL PRIMARY KEY,
  integration INTEGER NOT NULL,
  origin_ids  BLOB,   -- store.PackTexts; null: the whole catalogue behind the next column
  after       TEXT NOT NULL DEFAULT ''
) STRICT;

-- All there are.
INSERT INTO unsearched (integration) SELECT integration FROM drains WHERE skills > 0;

-- What the last attempt refused, what nobody knows, and what is inactive: a part of a catalogue, in its order.
CREATE INDEX skills_refused ON skills (integration, origin_id) WHERE error_at IS NOT NULL;
CREATE INDEX skills_unsure ON skills (integration, origin_id) WHERE unsure;
CREATE INDEX skills_inactive ON skills (integration, origin_id) WHERE status = 2;

-- +goose Down

DROP INDEX skills_inactive;
DROP INDEX skills_unsure;
DROP INDEX skills_refused;
DROP TABLE unsearched;
DROP TABLE skill_words;
