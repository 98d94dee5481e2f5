-- name: ConnectSettings :one
SELECT origins, redirect FROM connect_settings WHERE environment_id = ?;

-- name: SetConnectSettings :execrows
INSERT INTO connect_settings (environment_id, origins, redirect)
SELECT e.id, CAST(sqlc.arg(origins) AS TEXT), CAST(sqlc.arg(redirect) AS TEXT) FROM environments e WHERE e.id = sqlc.arg(environment_id) AND e.erased_at IS NULL
ON CONFLICT (environment_id) DO UPDATE SET origins = excluded.origins, redirect = excluded.redirect;

-- name: InsertLink :exec
INSERT INTO connect_links (hash, environment_id, purpose, integration_id, tool, category, language, organisation, email, origin_id,
  created_at, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: Link :one
SELECT * FROM connect_links WHERE hash = sqlc.arg(hash) AND (expires_at > sqlc.arg(now) OR token_expires_at > sqlc.arg(now));

-- name: TryLink :one
UPDATE connect_links
SET tries = CASE WHEN tries_since > CAST(sqlc.arg(since) AS INTEGER) THEN min(tries + 1, CAST(sqlc.arg(most) AS INTEGER)) ELSE 1 END,
  tries_since = CASE WHEN tries_since > CAST(sqlc.arg(since) AS INTEGER) THEN tries_since ELSE sqlc.arg(now) END
WHERE hash = sqlc.arg(hash) AND expires_at > sqlc.arg(now) AND used_at IS NULL
RETURNING tries;

-- name: UseLink :one
-- A used link has expired: what is old is found by one index.
UPDATE connect_links
SET used_at = sqlc.arg(now), expires_at = sqlc.arg(now), integration_id = sqlc.arg(integration_id), token = sqlc.arg(token), token_expires_at = sqlc.arg(token_expires_at)
WHERE hash = sqlc.arg(hash) AND expires_at > sqlc.arg(now) AND used_at IS NULL
  AND (purpose = 1 OR integration_id = sqlc.arg(integration_id))
RETURNING purpose, environment_id;

-- name: IntegrationByToken :one
SELECT i.* FROM connect_links l JOIN integrations i ON i.id = l.integration_id
WHERE l.token = sqlc.arg(token) AND l.token_expires_at > sqlc.arg(now) AND l.environment_id = sqlc.arg(environment_id)
  AND i.environment_id = sqlc.arg(environment_id) AND i.deleted_at IS NULL;

-- name: ForgetLinks :execrows
DELETE FROM connect_links WHERE hash IN (
  SELECT l.hash FROM connect_links l WHERE l.expires_at < sqlc.arg(before) LIMIT sqlc.arg(most)
);
