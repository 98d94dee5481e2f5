-- name: Now :one
SELECT clock();

-- name: InsertEnvironment :one
INSERT INTO environments (id, name, created_at) VALUES (@id, @name, clock()) RETURNING created_at;

-- name: Environments :many
SELECT * FROM environments WHERE erased_at IS NULL ORDER BY created_at, id;

-- name: EnvironmentByNameOrID :one
SELECT * FROM environments WHERE (id = @key OR name = @key) AND erased_at IS NULL LIMIT 1;

-- name: InsertKey :one
INSERT INTO api_keys (id, environment_id, name, prefix, hash, created_at, scopes, addresses, created_by, expires_at)
VALUES (@id, @environment_id, @name, @prefix, @hash, clock(), @scopes, @addresses, @created_by, CASE WHEN @lives::interval > interval '0' THEN clock() + @lives::interval END)
RETURNING created_at, expires_at;

-- name: Keys :many
SELECT id, environment_id, name, prefix, created_at, revoked_at, scopes, addresses, created_by, expires_at, last_used_at, last_used_from,
  coalesce(expires_at <= clock(), false)::boolean AS expired FROM api_keys
WHERE @environment::text = '' OR environment_id = @environment::text
ORDER BY created_at, id;

-- name: KeyByHash :one
SELECT id, environment_id, name, prefix, created_at, revoked_at, scopes, addresses, created_by, expires_at, last_used_at, last_used_from,
  coalesce(expires_at <= clock(), false)::boolean AS expired FROM api_keys WHERE hash = @hash;

-- name: RevokeKey :one
UPDATE api_keys SET revoked_at = coalesce(revoked_at, clock()) WHERE id = @id
RETURNING id, environment_id, name, prefix, created_at, revoked_at, scopes, addresses, created_by, expires_at, last_used_at, last_used_from,
  coalesce(expires_at <= clock(), false)::boolean AS expired;

-- name: InsertIntegration :one
WITH i AS (
  INSERT INTO integrations (id, environment_id, tool, name, end_user_email, end_user_origin_id, settings, credentials,
    adopt, refuse_inactive, created_at)
  VALUES (@id, @environment_id, @tool, @name, sqlc.narg(end_user_email), sqlc.narg(end_user_origin_id), @settings, @credentials,
    @adopt, @refuse_inactive, clock())
  RETURNING *
), d AS (
  INSERT INTO drains (integration) SELECT seq FROM i
), s AS (
  INSERT INTO syncs (integration, due_at) SELECT seq, clock() + interval '10 minutes' FROM i -- its customer's catalogue comes first
)
SELECT * FROM i;

-- name: Integrations :many
SELECT * FROM integrations
WHERE (@environment::text = '' OR environment_id = @environment::text) AND deleted_at IS NULL
ORDER BY seq;

-- name: Integration :one
SELECT * FROM integrations WHERE id = @id AND (@environment::text = '' OR environment_id = @environment::text);

-- name: LockDrainOf :exec
SELECT 1 FROM drains WHERE integration = (SELECT seq FROM integrations WHERE integrations.id = @id) FOR NO KEY UPDATE;

-- name: SetIntegrationEnabled :one
UPDATE integrations
SET enabled = @enabled::boolean,
    invalid_reason = CASE WHEN @enabled::boolean THEN NULL ELSE invalid_reason END,
    invalid_at = CASE WHEN @enabled::boolean THEN NULL ELSE invalid_at END
WHERE id = @id AND deleted_at IS NULL
RETURNING *;

-- name: SetIntegrationSettings :one
UPDATE integrations
SET settings = @settings, settings_version = settings_version + 1, invalid_reason = NULL, invalid_at = NULL
WHERE id = @id AND deleted_at IS NULL
RETURNING *;

-- name: SetIntegrationAccount :one
UPDATE integrations
SET settings = @settings, credentials = @credentials, settings_version = settings_version + 1, invalid_reason = NULL, invalid_at = NULL
WHERE id = @id AND deleted_at IS NULL
RETURNING *;

-- name: SetIntegrationPolicy :one
UPDATE integrations SET adopt = @adopt, refuse_inactive = @refuse_inactive, settings_version = settings_version + 1
WHERE id = @id AND deleted_at IS NULL
RETURNING *;

-- name: Away :many
SELECT i.id, d.failures, d.away_since, d.resume_at FROM drains d JOIN integrations i ON i.seq = d.integration
WHERE d.away AND i.deleted_at IS NULL AND (@environment::text = '' OR i.environment_id = @environment::text)
ORDER BY d.away_since, i.seq;

-- name: Sealed :many
SELECT id, credentials FROM integrations WHERE credentials IS NOT NULL ORDER BY seq FOR UPDATE;

-- name: Reseal :exec
UPDATE integrations SET credentials = @credentials, settings_version = settings_version + 1 WHERE id = @id;

-- name: DeleteIntegration :one
-- Nobody may use its credentials any more, so nobody needs them.
UPDATE integrations SET deleted_at = clock(), credentials = NULL WHERE id = @id AND deleted_at IS NULL
RETURNING *;

-- name: ForgetListing :exec
-- What a sync has listed so far says nothing of another account.
UPDATE syncs SET started_at = NULL FROM integrations i
WHERE syncs.active AND syncs.integration = i.seq AND i.id = @id AND i.settings::text <> @settings::text;

-- name: ReviveDrain :exec
-- Drains and syncs begin with a clean slate.
WITH t AS (
  UPDATE tasks SET attempt = 0 WHERE tasks.integration = @integration AND tasks.attempt > 0
), s AS (
  UPDATE syncs SET attempt = 0, due_at = least(syncs.due_at, clock()) WHERE syncs.integration = @integration AND syncs.active
)
UPDATE drains SET resume_at = 'epoch', failures = 0, away_since = NULL, away = false,
  wanted = EXISTS (SELECT 1 FROM tasks WHERE tasks.integration = drains.integration)
WHERE drains.integration = @integration;

-- name: KeepMasterKey :exec
INSERT INTO master_key (id, check_value, noted_at) VALUES (@id, @check_value, clock()) ON CONFLICT DO NOTHING;

-- name: NoteMasterKey :exec
INSERT INTO master_key (id, check_value, noted_at) VALUES (@id, @check_value, clock())
ON CONFLICT (one) DO UPDATE SET id = excluded.id, check_value = excluded.check_value, noted_at = excluded.noted_at;

-- name: MasterKey :one
SELECT id, check_value FROM master_key;

-- name: DatabaseHealth :one
SELECT clock()::timestamptz AS now, current_setting('server_version')::text AS version, pg_database_size(current_database()) AS bytes;

-- name: QueueHealth :one
-- A cancelled task has no deadline any more, and no moment: it is overdue when nobody has been at its integration for a while.
SELECT coalesce(sum(d.pending), 0)::bigint AS pending, coalesce(sum(d.waiting), 0)::bigint AS waiting,
  count(*) FILTER (WHERE d.until > clock()) AS leases,
  count(*) FILTER (WHERE d.wanted AND d.until <= clock() AND d.resume_at <= clock() AND (i.enabled OR i.deleted_at IS NOT NULL)) AS unattended,
  count(*) FILTER (WHERE d.wanted AND d.until <= clock() AND d.resume_at <= clock() AND d.owner IS NOT NULL
    AND (i.enabled OR i.deleted_at IS NOT NULL)) AS stale,
  count(*) FILTER (WHERE d.away AND i.deleted_at IS NULL) AS away,
  (SELECT count(*) FROM tasks t WHERE t.deadline < clock() - interval '10 seconds'
    AND (t.deadline > 'epoch' OR NOT EXISTS (SELECT 1 FROM drains h WHERE h.integration = t.integration AND h.until > clock() - interval '10 seconds'))
  ) AS overdue
FROM drains d JOIN integrations i ON i.seq = d.integration;

-- name: OldestPending :one
-- They are numbered as they are accepted.
SELECT created_at FROM tasks ORDER BY seq LIMIT 1;
