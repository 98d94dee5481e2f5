-- Lists that people sort.

-- +goose Up

-- By the customer's name. Letters of ASCII alone are taken for the same, large or small, on both databases.
CREATE INDEX integrations_customer ON integrations (environment_id, lower(name), seq);

-- The slowest exchanges.
CREATE INDEX interactions_took ON interactions (environment, took, id);

-- +goose Down

DROP INDEX interactions_took;
DROP INDEX integrations_customer;
