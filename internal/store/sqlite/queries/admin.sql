-- name: InsertEnvironment :exec
INSERT INTO environments (id, name, created_at) VALUES (?, ?, ?);

-- name: Environments :many
SELECT * FROM environments WHERE erased_at IS NULL ORDER BY created_at, id;

-- name: EnvironmentByNameOrID :one
SELECT * FROM environments WHERE (id = sqlc.arg(key) OR name = sqlc.arg(key)) AND erased_at IS NULL LIMIT 1;

-- name: InsertKey :exec
INSERT INTO api_keys (id, environment_id, name, prefix, hash, created_at, scopes, addresses, created_by, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: Keys :many
SELECT id, environment_id, name, prefix, created_at, revoked_at, scopes, addresses, created_by, expires_at, last_used_at, last_used_from FROM api_keys
WHERE CAST(sqlc.arg(environment) AS TEXT) = '' OR environment_id = CAST(sqlc.arg(environment) AS TEXT)
ORDER BY created_at, id;

-- name: KeyByHash :one
SELECT id, environment_id, name, prefix, created_at, revoked_at, scopes, addresses, created_by, expires_at, last_used_at, last_used_from FROM api_keys WHERE hash = ?;

-- name: RevokeKey :one
UPDATE api_keys SET revoked_at = coalesce(revoked_at, sqlc.arg(now)) WHERE id = sqlc.arg(id)
RETURNING id, environment_id, name, prefix, created_at, revoked_at, scopes, addresses, created_by, expires_at, last_used_at, last_used_from;

-- name: InsertIntegration :one
INSERT INTO integrations (id, environment_id, tool, name, end_user_email, end_user_origin_id, settings, credentials, created_at,
  adopt, refuse_inactive)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
RETURNING *;

-- name: InsertDrain :exec
INSERT INTO drains (integration) VALUES (?);

-- name: Integrations :many
SELECT * FROM integrations
WHERE (CAST(sqlc.arg(environment) AS TEXT) = '' OR environment_id = CAST(sqlc.arg(environment) AS TEXT)) AND deleted_at IS NULL
ORDER BY seq;

-- name: Integration :one
SELECT * FROM integrations
WHERE id = sqlc.arg(id) AND (CAST(sqlc.arg(environment) AS TEXT) = '' OR environment_id = CAST(sqlc.arg(environment) AS TEXT));

-- name: SetIntegrationEnabled :one
UPDATE integrations
SET enabled = sqlc.arg(enabled),
    invalid_reason = CASE WHEN sqlc.arg(enabled) = 1 THEN NULL ELSE invalid_reason END,
    invalid_at = CASE WHEN sqlc.arg(enabled) = 1 THEN NULL ELSE invalid_at END
WHERE id = sqlc.arg(id) AND deleted_at IS NULL
RETURNING *;

-- name: SetIntegrationSettings :one
UPDATE integrations
SET settings = sqlc.arg(settings), settings_version = settings_version + 1, invalid_reason = NULL, invalid_at = NULL
WHERE id = sqlc.arg(id) AND deleted_at IS NULL
RETURNING *;

-- name: SetIntegrationAccount :one
UPDATE integrations
SET settings = sqlc.arg(settings), credentials = sqlc.arg(credentials), settings_version = settings_version + 1,
  invalid_reason = NULL, invalid_at = NULL
WHERE id = sqlc.arg(id) AND deleted_at IS NULL
RETURNING *;

-- name: SetIntegrationPolicy :one
UPDATE integrations
SET adopt = sqlc.arg(adopt), refuse_inactive = sqlc.arg(refuse_inactive), settings_version = settings_version + 1
WHERE id = sqlc.arg(id) AND deleted_at IS NULL
RETURNING *;

-- name: Away :many
SELECT i.id, d.failures, d.away_since, d.resume_at FROM drains d JOIN integrations i ON i.seq = d.integration
WHERE d.away = 1 AND i.deleted_at IS NULL
  AND (CAST(sqlc.arg(environment) AS TEXT) = '' OR i.environment_id = CAST(sqlc.arg(environment) AS TEXT))
ORDER BY d.away_since, i.seq;

-- name: Sealed :many
SELECT id, credentials FROM integrations WHERE credentials IS NOT NULL;

-- name: Reseal :exec
UPDATE integrations SET credentials = sqlc.arg(credentials), settings_version = settings_version + 1 WHERE id = sqlc.arg(id);

-- name: DeleteIntegration :one
-- Nobody may use its credentials any more, so nobody needs them.
UPDATE integrations SET deleted_at = sqlc.arg(now), credentials = NULL WHERE id = sqlc.arg(id) AND deleted_at IS NULL
RETURNING *;

-- name: MarkIntegrationInvalid :exec
UPDATE integrations SET invalid_reason = sqlc.arg(reason), invalid_at = sqlc.arg(now) WHERE seq = sqlc.arg(seq);

-- name: ForgetListing :exec
-- What a sync has listed so far says nothing of another account.
UPDATE syncs SET started_at = NULL
WHERE syncs.active = 1 AND syncs.integration = (SELECT i.seq FROM integrations i WHERE i.id = sqlc.arg(id) AND i.settings <> CAST(sqlc.arg(settings) AS TEXT));

-- name: ReviveTasks :exec
UPDATE tasks SET attempt = 0 WHERE integration = ? AND status = 0 AND attempt > 0;

-- name: ReviveSync :exec
UPDATE syncs SET attempt = 0, due_at = min(due_at, sqlc.arg(now)) WHERE integration = sqlc.arg(integration) AND active = 1;

-- name: ReviveDrain :exec
UPDATE drains SET resume_at = 0, failures = 0, away_since = NULL, away = 0,
  wanted = EXISTS (SELECT 1 FROM tasks WHERE tasks.integration = drains.integration AND tasks.status = 0)
WHERE drains.integration = ?;
