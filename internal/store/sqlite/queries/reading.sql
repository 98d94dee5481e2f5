-- name: InsertSync :exec
INSERT INTO syncs (integration, due_at) VALUES (?, ?);

-- name: SyncOf :one
SELECT i.seq, i.enabled, i.deleted_at, s.active, s.id, s.whole FROM integrations i JOIN syncs s ON s.integration = i.seq
WHERE i.id = sqlc.arg(id) AND i.environment_id = sqlc.arg(environment);

-- name: SyncState :one
SELECT s.* FROM syncs s JOIN integrations i ON i.seq = s.integration WHERE i.id = sqlc.arg(id) AND i.environment_id = sqlc.arg(environment);

-- name: StartSync :exec
UPDATE syncs SET active = 1, id = sqlc.arg(id), whole = sqlc.arg(whole), due_at = sqlc.arg(due_at), started_at = sqlc.arg(started_at),
  phase = 0, position = '', pages = 0, attempt = 0, restarts = 0, records = 0, changed = 0, gone = 0
WHERE integration = sqlc.arg(integration);

-- name: WidenSync :exec
-- It begins anew as a whole one. What is not whole has noted nothing that it has seen.
UPDATE syncs SET whole = 1, started_at = NULL WHERE integration = ?;

-- name: DueSyncs :many
SELECT i.id FROM syncs s JOIN integrations i ON i.seq = s.integration JOIN drains d ON d.integration = s.integration
WHERE s.due_at <= sqlc.arg(now) AND (s.active = 1 OR sqlc.arg(periodic) = 1)
  AND i.enabled = 1 AND i.deleted_at IS NULL AND i.invalid_reason IS NULL
  AND d.until <= sqlc.arg(now) AND d.resume_at <= sqlc.arg(now)
ORDER BY s.due_at LIMIT sqlc.arg(most);

-- name: ClaimableSync :one
SELECT sqlc.embed(i), sqlc.embed(s), d.owner, d.epoch, d.paced_until
FROM integrations i JOIN syncs s ON s.integration = i.seq JOIN drains d ON d.integration = i.seq
WHERE i.id = sqlc.arg(id) AND s.due_at <= sqlc.arg(now) AND (s.active = 1 OR sqlc.arg(periodic) = 1)
  AND i.enabled = 1 AND i.deleted_at IS NULL AND i.invalid_reason IS NULL
  AND d.until <= sqlc.arg(now) AND d.resume_at <= sqlc.arg(now) AND (d.wanted = 0 OR sqlc.arg(beside) = 1)
  AND NOT EXISTS (SELECT 1 FROM intents WHERE intents.integration = i.seq);

-- name: MoveSync :execrows
-- No row: it begins anew.
UPDATE syncs SET phase = sqlc.arg(phase), position = sqlc.arg(position), pages = sqlc.arg(pages), attempt = sqlc.arg(attempt), restarts = sqlc.arg(restarts),
  records = sqlc.arg(records), changed = sqlc.arg(changed), gone = sqlc.arg(gone), due_at = max(due_at, CAST(sqlc.arg(due_at) AS INTEGER))
WHERE integration = sqlc.arg(integration) AND started_at IS NOT NULL;

-- name: EndSync :exec
UPDATE syncs SET active = 0, ended_at = sqlc.arg(now), error = sqlc.arg(error), due_at = sqlc.arg(due_at),
  succeeded_at = CASE WHEN sqlc.arg(error) IS NULL THEN sqlc.arg(now) ELSE succeeded_at END
WHERE integration = sqlc.arg(integration);

-- name: DrainWanted :one
SELECT wanted FROM drains WHERE integration = ?;

-- name: GiveLeaseBack :exec
UPDATE drains SET owner = NULL, until = 0 WHERE integration = ?;

-- name: InsertSeen :exec
INSERT INTO sync_seen (integration, page, block) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET block = excluded.block;

-- name: SeenBlocks :many
SELECT block FROM sync_seen WHERE integration = ?;

-- name: DropSeen :exec
DELETE FROM sync_seen WHERE integration = ?;

-- name: ReadableIntegration :one
SELECT seq FROM integrations WHERE id = sqlc.arg(id) AND environment_id = sqlc.arg(environment) AND deleted_at IS NULL;

-- name: IntegrationForWish :one
SELECT i.seq, i.enabled, i.deleted_at, d.waiting, d.owner FROM integrations i JOIN drains d ON d.integration = i.seq
WHERE i.id = sqlc.arg(id) AND i.environment_id = sqlc.arg(environment);

-- name: RemoteSkillByID :one
SELECT remote_id, name, status FROM remote_skills WHERE integration = ? AND id = ?;

-- name: DropRemoteSkill :exec
DELETE FROM remote_skills WHERE integration = ? AND remote_id = ?;

-- name: InsertWish :exec
INSERT INTO skills (integration, origin_id, id, remote_id, name, status) VALUES (?, ?, ?, ?, ?, ?);

-- name: AskSkill :exec
UPDATE skills SET noted = 2, noted_at = sqlc.arg(noted_at), noted_name = sqlc.arg(name), noted_status = sqlc.arg(status) WHERE seq = sqlc.arg(seq);

-- name: TasksInHand :many
-- Those of which a drain may have looked skills up: what was begun, and the oldest.
SELECT tasks.seq FROM tasks WHERE tasks.integration = sqlc.arg(integration) AND tasks.status = 0
  AND (tasks.started = 1 OR tasks.seq = (SELECT t.seq FROM tasks t WHERE t.integration = sqlc.arg(integration) AND t.status = 0 ORDER BY t.seq LIMIT 1));

-- name: ItemBlocks :many
SELECT block FROM task_items WHERE task = ?;

-- name: SyncHealth :one
SELECT count(CASE WHEN s.active = 1 THEN 1 END) AS active,
  CAST(coalesce(min(CASE WHEN i.enabled = 1 AND i.deleted_at IS NULL THEN coalesce(s.succeeded_at, i.created_at) END), 0) AS INTEGER) AS oldest
FROM syncs s JOIN integrations i ON i.seq = s.integration;
