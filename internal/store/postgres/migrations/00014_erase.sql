-- Environments that are erased with all they hold.

-- +goose Up

-- Since then nobody can use it any more, and what it holds is removed bit by bit. The row itself goes last.
ALTER TABLE environments ADD COLUMN erased_at timestamptz;

-- +goose Down

ALTER TABLE environments DROP COLUMN erased_at;
