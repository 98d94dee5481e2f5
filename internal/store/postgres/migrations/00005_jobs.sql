-- Remote jobs: a tool may take what it is sent as a job of its own, which is asked after by its receipt.

-- +goose Up

-- Null: an intent of a plain call. Empty: the request that starts a job was about to leave. Else what the tool calls the job.
ALTER TABLE intents ADD COLUMN receipt    text;
ALTER TABLE intents ADD COLUMN receipt_at timestamptz; -- when it was noted

-- +goose Down

ALTER TABLE intents DROP COLUMN receipt_at, DROP COLUMN receipt;
