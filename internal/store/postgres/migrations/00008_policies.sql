-- What an integration wants besides its tool's settings, and whether its tool answers.

-- +goose Up

ALTER TABLE integrations
  ADD COLUMN adopt           boolean NOT NULL DEFAULT false, -- take over skills of the same name
  ADD COLUMN refuse_inactive boolean NOT NULL DEFAULT false; -- retire nothing in the tool

-- Calls in a row that the tool left without an answer, over all tasks, and the moment of the first.
ALTER TABLE drains
  ADD COLUMN failures   integer NOT NULL DEFAULT 0,
  ADD COLUMN away_since timestamptz,                    -- null: it answered last
  ADD COLUMN away       boolean NOT NULL DEFAULT false; -- they are so many that only single skills are tried

-- +goose Down

ALTER TABLE drains DROP COLUMN away, DROP COLUMN away_since, DROP COLUMN failures;
ALTER TABLE integrations DROP COLUMN refuse_inactive, DROP COLUMN adopt;
