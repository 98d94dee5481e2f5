-- What an integration wants besides its tool's settings, and whether its tool answers.

-- +goose Up

ALTER TABLE integrations ADD COLUMN adopt           INTEGER NOT NULL DEFAULT 0; -- take over skills of the same name
ALTER TABLE integrations ADD COLUMN refuse_inactive INTEGER NOT NULL DEFAULT 0; -- retire nothing in the tool

-- Calls in a row that the tool left without an answer, over all tasks, and the moment of the first.
ALTER TABLE drains ADD COLUMN failures   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE drains ADD COLUMN away_since INTEGER;                    -- null: it answered last
ALTER TABLE drains ADD COLUMN away       INTEGER NOT NULL DEFAULT 0; -- they are so many that only single skills are tried

-- +goose Down

ALTER TABLE drains DROP COLUMN away;
ALTER TABLE drains DROP COLUMN away_since;
ALTER TABLE drains DROP COLUMN failures;
ALTER TABLE integrations DROP COLUMN refuse_inactive;
ALTER TABLE integrations DROP COLUMN adopt;
