-- name: ClaimableDrain :one
SELECT sqlc.embed(i), d.owner, d.epoch, d.resume_at, d.paced_until, d.failures
FROM integrations i JOIN drains d ON d.integration = i.seq
WHERE i.id = sqlc.arg(id)
  AND d.wanted = 1 AND d.until <= sqlc.arg(now) AND (d.resume_at <= sqlc.arg(now) OR sqlc.arg(force) = 1);

-- name: ClaimDrain :exec
UPDATE drains SET owner = sqlc.arg(owner), epoch = epoch + 1, until = sqlc.arg(until)
WHERE integration = sqlc.arg(integration);

-- name: LeaseState :one
SELECT i.enabled, i.deleted_at, i.invalid_reason, i.settings_version, d.resume_at, d.paced_until, d.failures
FROM drains d JOIN integrations i ON i.seq = d.integration
WHERE d.integration = sqlc.arg(integration) AND d.owner = sqlc.arg(owner) AND d.epoch = sqlc.arg(epoch);

-- name: AccountOf :one
SELECT settings, credentials FROM integrations WHERE seq = ?;

-- name: ExtendLease :execrows
-- A lease that was ended has ended at 0, and stays so.
UPDATE drains SET until = sqlc.arg(until)
WHERE integration = sqlc.arg(integration) AND owner = sqlc.arg(owner) AND epoch = sqlc.arg(epoch)
  AND (until > 0 OR sqlc.arg(until) = 0);

-- name: ReleaseDrain :exec
UPDATE drains SET owner = NULL, until = 0, wanted = sqlc.arg(wanted), resume_at = max(resume_at, CAST(sqlc.arg(resume_at) AS INTEGER))
WHERE integration = sqlc.arg(integration);

-- name: HoldDrain :exec
UPDATE drains SET resume_at = sqlc.arg(resume_at), paced_until = sqlc.arg(paced_until) WHERE integration = sqlc.arg(integration);

-- name: NoteFailures :exec
UPDATE drains SET failures = sqlc.arg(failures), away = sqlc.arg(away), away_since = coalesce(away_since, sqlc.arg(now))
WHERE integration = sqlc.arg(integration);

-- name: ForgetFailures :exec
UPDATE drains SET failures = 0, away = 0, away_since = NULL WHERE integration = sqlc.arg(integration);

-- name: AddWaiting :exec
UPDATE drains SET waiting = waiting + sqlc.arg(items), pending = pending + sqlc.arg(tasks) WHERE integration = sqlc.arg(integration);

-- name: ResetLeases :exec
UPDATE drains SET owner = NULL, until = 0, notified_at = NULL WHERE owner IS NOT NULL OR notified_at IS NOT NULL;

-- name: CountSkills :exec
UPDATE drains SET skills = skills + sqlc.arg(more) WHERE integration = sqlc.arg(integration);

-- name: SkillCount :one
SELECT skills FROM drains WHERE integration = ?;

-- name: OldestTask :one
SELECT seq, id, items, done, written, unchanged, failed, touched, attempt, created_at, deadline, rewrite, started FROM tasks
WHERE integration = ? AND status = 0 ORDER BY seq LIMIT 1;

-- name: OldestOverdueTask :one
SELECT seq, id, items, done, written, unchanged, failed, touched, attempt, created_at, deadline, rewrite, started FROM tasks
WHERE integration = sqlc.arg(integration) AND status = 0 AND deadline <= sqlc.arg(now) ORDER BY seq LIMIT 1;

-- name: AnyPendingTask :one
SELECT EXISTS (SELECT 1 FROM tasks WHERE integration = ? AND status = 0);

-- name: StartTask :execrows
UPDATE tasks SET started = 1 WHERE seq = ? AND status = 0;

-- name: CheckpointTask :execrows
UPDATE tasks SET started = 1, done = done + sqlc.arg(done), written = written + sqlc.arg(written),
  unchanged = unchanged + sqlc.arg(unchanged), failed = failed + sqlc.arg(failed),
  touched = max(touched, sqlc.arg(touched)), attempt = sqlc.arg(attempt)
WHERE seq = sqlc.arg(seq) AND status = 0;

-- name: FinishTask :one
UPDATE tasks SET status = sqlc.arg(status), done = items, written = sqlc.arg(written), unchanged = sqlc.arg(unchanged),
  failed = sqlc.arg(failed), completed_at = sqlc.arg(completed_at), document = sqlc.arg(document)
WHERE seq = sqlc.arg(seq) AND status = 0
RETURNING items;

-- name: TouchTask :exec
UPDATE tasks SET touched = 1 WHERE seq = ?;

-- name: OpenIntent :exec
INSERT INTO intents (integration, task, start, stop, epoch, opened_at) VALUES (?, ?, ?, ?, ?, ?);

-- name: CloseIntent :exec
DELETE FROM intents WHERE integration = ? AND task = ? AND start = ?;

-- name: CloseTaskIntents :exec
DELETE FROM intents WHERE integration = ? AND task = ?;

-- name: OpenIntents :many
-- Those of plain calls.
SELECT task, start, stop FROM intents WHERE integration = ? AND receipt IS NULL ORDER BY task, start;

-- name: CloseOpenIntents :exec
DELETE FROM intents WHERE integration = ? AND receipt IS NULL;

-- name: AnyIntent :one
SELECT EXISTS (SELECT 1 FROM intents WHERE integration = ? AND task = ?);

-- name: NoteReceipt :exec
UPDATE intents SET receipt = sqlc.arg(receipt), receipt_at = sqlc.arg(now)
WHERE integration = sqlc.arg(integration) AND task = sqlc.arg(task) AND start = sqlc.arg(start);

-- name: Jobs :many
SELECT start, stop, receipt, receipt_at FROM intents
WHERE integration = ? AND task = ? AND receipt IS NOT NULL ORDER BY start;

-- name: ForgetReceipts :exec
UPDATE intents SET receipt = NULL, receipt_at = NULL WHERE integration = ?;

-- name: InsertOutcomes :exec
INSERT INTO task_outcomes (task, start, block) VALUES (?, ?, ?);

-- name: Outcomes :many
SELECT start, block FROM task_outcomes WHERE task = ? ORDER BY start;

-- name: DeleteOutcomes :exec
DELETE FROM task_outcomes WHERE task = ?;

-- name: ItemsFrom :one
SELECT start, block FROM task_items WHERE task = sqlc.arg(task) AND start <= sqlc.arg(position) ORDER BY start DESC LIMIT 1;

-- name: MarkUnsure :execrows
UPDATE skills SET hash = NULL, unsure = 1,
  name = CASE WHEN written_at IS NULL THEN sqlc.arg(name) ELSE name END,
  status = CASE WHEN written_at IS NULL THEN sqlc.arg(status) ELSE status END
WHERE integration = sqlc.arg(integration) AND origin_id = sqlc.arg(origin_id);

-- name: InsertUnsure :exec
INSERT INTO skills (integration, origin_id, id, name, status, unsure) VALUES (?, ?, ?, ?, ?, 1);

-- name: DueDrains :many
SELECT i.id FROM drains d JOIN integrations i ON i.seq = d.integration
WHERE d.wanted = 1 AND d.until <= sqlc.arg(now) AND d.resume_at <= sqlc.arg(now)
  AND (i.enabled = 1 OR i.deleted_at IS NOT NULL)
ORDER BY EXISTS (SELECT 1 FROM intents WHERE intents.integration = d.integration) DESC, d.resume_at
LIMIT sqlc.arg(most);

-- name: OverdueDrains :many
SELECT DISTINCT i.id FROM tasks t JOIN integrations i ON i.seq = t.integration JOIN drains d ON d.integration = t.integration
WHERE t.status = 0 AND t.deadline <= sqlc.arg(now) AND t.started = 1 AND d.until <= sqlc.arg(now)
LIMIT sqlc.arg(most);
