-- name: IntegrationForSubmit :one
SELECT i.seq, i.enabled, i.deleted_at, d.wanted, d.notified_at, d.waiting
FROM integrations i JOIN drains d ON d.integration = i.seq
WHERE i.id = sqlc.arg(id) AND i.environment_id = sqlc.arg(environment);

-- name: InsertTask :one
-- A rewrite counts as started: only a drain may end it.
INSERT INTO tasks (seq, id, integration, key_id, items, created_at, deadline, rewrite, started)
VALUES (1 + max(coalesce((SELECT max(seq) FROM tasks), 0), (SELECT used FROM task_numbers)), sqlc.arg(id), sqlc.arg(integration),
  sqlc.arg(key_id), sqlc.arg(items), sqlc.arg(created_at), sqlc.arg(deadline), sqlc.arg(rewrite), sqlc.arg(rewrite))
RETURNING seq;

-- name: InsertTaskItems :exec
INSERT INTO task_items (task, start, block) VALUES (?, ?, ?);

-- name: WantDrain :exec
UPDATE drains SET wanted = 1, waiting = waiting + sqlc.arg(items), pending = pending + 1 WHERE integration = sqlc.arg(integration);

-- name: SetNotified :exec
UPDATE drains SET notified_at = sqlc.arg(now) WHERE integration = sqlc.arg(integration);

-- name: IntegrationDeleted :one
SELECT deleted_at FROM integrations WHERE seq = ?;

-- name: ClearNotified :exec
UPDATE drains SET notified_at = NULL
WHERE integration = (SELECT seq FROM integrations WHERE id = sqlc.arg(id));

-- name: Task :one
SELECT t.id, t.status, t.items, t.done, t.written, t.unchanged, t.failed, t.created_at, t.document
FROM tasks t JOIN integrations i ON i.seq = t.integration
WHERE t.id = sqlc.arg(id) AND i.id = sqlc.arg(integration) AND i.environment_id = sqlc.arg(environment);

-- name: ExpiredTask :one
SELECT e.expired_at FROM expired_tasks e JOIN integrations i ON i.seq = e.integration
WHERE e.id = sqlc.arg(id) AND i.id = sqlc.arg(integration) AND i.environment_id = sqlc.arg(environment);

-- name: OverdueTasks :many
SELECT seq, id, created_at, items FROM tasks
WHERE status = 0 AND deadline <= sqlc.arg(now) AND started = 0
ORDER BY deadline LIMIT sqlc.arg(most);

-- name: FailUnstartedTask :one
UPDATE tasks SET status = 2, done = items, failed = items, completed_at = sqlc.arg(completed_at), document = sqlc.arg(document)
WHERE seq = sqlc.arg(seq) AND status = 0 AND started = 0
RETURNING integration, items;

-- name: UnstartedTasks :many
SELECT seq, id, created_at, items FROM tasks
WHERE integration = sqlc.arg(integration) AND status = 0 AND started = 0
ORDER BY seq LIMIT sqlc.arg(most);

-- name: TaskToCancel :one
SELECT t.seq, t.integration, t.status, t.items, t.started, t.created_at, t.deadline, i.id AS integration_id
FROM tasks t JOIN integrations i ON i.seq = t.integration
WHERE t.id = sqlc.arg(id) AND i.environment_id = sqlc.arg(environment);

-- name: SetDeadline :exec
UPDATE tasks SET deadline = sqlc.arg(deadline) WHERE seq = sqlc.arg(seq);

-- name: BeginAnew :exec
-- Whoever drains it leaves and claims again, as after a change of its settings.
UPDATE integrations SET settings_version = settings_version + 1 WHERE seq = sqlc.arg(seq);
