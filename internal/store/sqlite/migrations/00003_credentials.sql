-- +goose Up

ALTER TABLE integrations ADD COLUMN credentials BLOB; -- the secret settings, sealed under the master key

-- +goose Down

ALTER TABLE integrations DROP COLUMN credentials;
