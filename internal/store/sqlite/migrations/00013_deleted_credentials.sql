-- The credentials of integrations that were deleted before deletion removed them.

-- +goose Up

UPDATE integrations SET credentials = NULL WHERE deleted_at IS NOT NULL AND credentials IS NOT NULL;

-- +goose Down

SELECT 1; -- nothing brings them back
