-- name: EnvironmentThere :one
SELECT id FROM environments WHERE id = sqlc.arg(id) AND erased_at IS NULL;

-- name: EraseEnvironment :one
-- Its name may be given away again.
UPDATE environments SET erased_at = sqlc.arg(now), name = id WHERE id = sqlc.arg(id) AND erased_at IS NULL RETURNING id;

-- name: EraseIntegrations :exec
UPDATE integrations SET deleted_at = coalesce(deleted_at, sqlc.arg(now)), credentials = NULL, settings = '{}' WHERE environment_id = sqlc.arg(environment);

-- name: EraseLeases :exec
-- Whoever drains is refused from now on; what it holds goes once the lease has run out.
UPDATE drains SET epoch = epoch + 1, wanted = 0 WHERE integration IN (SELECT seq FROM integrations WHERE environment_id = sqlc.arg(environment));

-- name: EraseLinks :exec
DELETE FROM connect_links WHERE environment_id = sqlc.arg(environment);

-- name: EraseConnectSettings :exec
DELETE FROM connect_settings WHERE environment_id = sqlc.arg(environment);

-- name: ErasedEnvironments :many
SELECT id FROM environments WHERE erased_at IS NOT NULL ORDER BY erased_at;

-- name: ErasedIntegration :one
SELECT i.seq, i.id, CAST(d.until > sqlc.arg(now) AS INTEGER) AS leased FROM integrations i JOIN drains d ON d.integration = i.seq
WHERE i.environment_id = sqlc.arg(environment) ORDER BY leased, i.seq LIMIT 1;

-- name: TasksToErase :many
SELECT seq, items FROM tasks WHERE integration = sqlc.arg(integration) ORDER BY id LIMIT sqlc.arg(most);

-- name: EraseIntents :exec
DELETE FROM intents WHERE integration = sqlc.arg(integration);

-- name: EraseTombstones :execrows
DELETE FROM expired_tasks WHERE id IN (SELECT e.id FROM expired_tasks e WHERE e.integration = sqlc.arg(integration) LIMIT sqlc.arg(most));

-- name: EraseSkills :execrows
DELETE FROM skills WHERE seq IN (SELECT s.seq FROM skills s WHERE s.integration = sqlc.arg(integration) ORDER BY s.origin_id LIMIT sqlc.arg(most));

-- name: EraseNames :exec
DELETE FROM unsearched WHERE integration = ?;

-- name: EraseRemoteSkills :execrows
DELETE FROM remote_skills WHERE remote_skills.integration = sqlc.arg(integration) AND remote_id IN (
  SELECT r.remote_id FROM remote_skills r WHERE r.integration = sqlc.arg(integration) LIMIT sqlc.arg(most)
);

-- name: EraseSyncSeen :execrows
DELETE FROM sync_seen WHERE sync_seen.integration = sqlc.arg(integration) AND page IN (
  SELECT p.page FROM sync_seen p WHERE p.integration = sqlc.arg(integration) LIMIT sqlc.arg(most)
);

-- name: EraseSandboxSkills :execrows
DELETE FROM sandbox_skills WHERE seq IN (
  SELECT k.seq FROM sandbox_skills k JOIN sandbox_accounts a ON a.seq = k.account WHERE a.name = sqlc.arg(account) LIMIT sqlc.arg(most)
);

-- name: EraseSandboxScripts :exec
DELETE FROM sandbox_scripts WHERE account = (SELECT a.seq FROM sandbox_accounts a WHERE a.name = sqlc.arg(account));

-- name: EraseSandboxAccount :exec
DELETE FROM sandbox_accounts WHERE name = sqlc.arg(account);

-- name: EraseSync :exec
DELETE FROM syncs WHERE integration = sqlc.arg(integration);

-- name: EraseDrain :exec
DELETE FROM drains WHERE integration = sqlc.arg(integration);

-- name: EraseIntegration :execrows
DELETE FROM integrations WHERE seq = sqlc.arg(integration);

-- name: EraseInteractions :execrows
DELETE FROM interactions WHERE seq IN (
  SELECT x.seq FROM interactions x INDEXED BY interactions_environment WHERE x.environment = sqlc.arg(environment) LIMIT sqlc.arg(most)
);

-- name: ForgetEnvironment :execrows
DELETE FROM environments WHERE id = sqlc.arg(id) AND erased_at <= sqlc.arg(before);
