-- Which task wrote a skill last.

-- +goose Up

-- The number that the task had while it went on, which skills.written_by names; null in tasks that ended before.
ALTER TABLE results ADD COLUMN seq bigint;

-- Which task has a number that a skill names?
CREATE INDEX results_seq ON results (seq) WHERE seq IS NOT NULL;

-- +goose Down

DROP INDEX results_seq;
ALTER TABLE results DROP COLUMN seq;
