-- Skills of a tool that none of the same name takes over.

-- +goose Up

-- Adoption leaves it alone: it is kept apart in the tool, as under another type.
ALTER TABLE remote_skills ADD COLUMN apart boolean NOT NULL DEFAULT false;

-- +goose Down

ALTER TABLE remote_skills DROP COLUMN apart;
