-- A step of a drain is sent to the database as one batch, so it is the database that has to stop it half-way.

-- +goose Up

-- Ends the transaction with one of our own codes: WC001 the lease is not held any more, WC002 the task has ended.
-- +goose StatementBegin
CREATE FUNCTION refuse(code text) RETURNS boolean LANGUAGE plpgsql
  AS $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = code; END $$;
-- +goose StatementEnd

-- Its check cost a tenth of a submission. A task is inserted under the lock of its integration's drain, which has the key.
ALTER TABLE tasks DROP CONSTRAINT tasks_integration_fkey;

-- +goose Down

ALTER TABLE tasks ADD FOREIGN KEY (integration) REFERENCES integrations (seq);
DROP FUNCTION refuse(text);
