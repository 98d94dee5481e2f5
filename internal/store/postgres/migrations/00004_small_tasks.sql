-- A small task is one row: what it would take to keep its items apart, and to find them again, was a tenth of its time.

-- +goose Up

ALTER TABLE tasks ADD COLUMN block bytea; -- the items, encoded, if they are few; then there are none in task_items

-- +goose Down

INSERT INTO task_items (task, start, block) SELECT seq, 0, block FROM tasks WHERE block IS NOT NULL;
ALTER TABLE tasks DROP COLUMN block;
