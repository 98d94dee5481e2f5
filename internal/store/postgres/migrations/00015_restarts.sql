-- Lists of a tool that a sync begins anew.

-- +goose Up

-- How often this sync did that, because the tool did not take its own cursor back.
ALTER TABLE syncs ADD COLUMN restarts integer NOT NULL DEFAULT 0;

-- +goose Down

ALTER TABLE syncs DROP COLUMN restarts;
