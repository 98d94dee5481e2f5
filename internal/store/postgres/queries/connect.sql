-- name: ConnectSettings :one
SELECT origins, redirect FROM connect_settings WHERE environment_id = @environment_id;

-- name: SetConnectSettings :execrows
INSERT INTO connect_settings (environment_id, origins, redirect)
SELECT e.id, sqlc.arg(origins)::text, sqlc.arg(redirect)::text FROM environments e WHERE e.id = sqlc.arg(environment_id) AND e.erased_at IS NULL
ON CONFLICT (environment_id) DO UPDATE SET origins = excluded.origins, redirect = excluded.redirect;

-- name: InsertLink :one
INSERT INTO connect_links (hash, environment_id, purpose, integration_id, tool, category, language, organisation, email, origin_id,
  created_at, expires_at)
VALUES (@hash, @environment_id, @purpose, sqlc.narg(integration_id), sqlc.narg(tool), @category, @language, @organisation,
  sqlc.narg(email), sqlc.narg(origin_id), clock(), clock() + @good::interval)
RETURNING created_at, expires_at;

-- name: Link :one
SELECT * FROM connect_links WHERE hash = @hash AND (expires_at > clock() OR token_expires_at > clock());

-- name: TryLink :one
UPDATE connect_links
SET tries = CASE WHEN tries_since > clock() - sqlc.arg(period)::interval THEN least(tries + 1, sqlc.arg(most)::integer) ELSE 1 END,
  tries_since = CASE WHEN tries_since > clock() - sqlc.arg(period)::interval THEN tries_since ELSE clock() END
WHERE hash = sqlc.arg(hash) AND expires_at > clock() AND used_at IS NULL
RETURNING tries;

-- name: UseLink :one
-- A used link has expired: what is old is found by one index.
UPDATE connect_links
SET used_at = clock(), expires_at = clock(), integration_id = @integration_id::text, token = @token, token_expires_at = clock() + @token_for::interval
WHERE hash = @hash AND expires_at > clock() AND used_at IS NULL AND (purpose = 1 OR integration_id = @integration_id::text)
RETURNING purpose, environment_id;

-- name: IntegrationByToken :one
SELECT i.* FROM connect_links l JOIN integrations i ON i.id = l.integration_id
WHERE l.token = @token AND l.token_expires_at > clock() AND l.environment_id = @environment_id
  AND i.environment_id = @environment_id AND i.deleted_at IS NULL;

-- name: ForgetLinks :execrows
DELETE FROM connect_links WHERE hash IN (SELECT l.hash FROM connect_links l WHERE l.expires_at < clock() - @keep::interval LIMIT @most);
