-- name: IntegrationForSubmit :one
SELECT i.seq, i.enabled, i.deleted_at, d.wanted, d.notified_at
FROM integrations i JOIN drains d ON d.integration = i.seq
WHERE i.id = sqlc.arg(id) AND i.environment_id = sqlc.arg(environment);

-- name: InsertTask :one
INSERT INTO tasks (id, integration, key_id, items, created_at, deadline) VALUES (?, ?, ?, ?, ?, ?)
RETURNING seq;

-- name: InsertTaskItems :exec
INSERT INTO task_items (task, start, block) VALUES (?, ?, ?);

-- name: WantDrain :exec
UPDATE drains SET wanted = 1, notified_at = sqlc.arg(notified_at) WHERE integration = sqlc.arg(integration);

-- name: ClearNotified :exec
UPDATE drains SET notified_at = NULL
WHERE integration = (SELECT seq FROM integrations WHERE id = sqlc.arg(id));

-- name: Task :one
SELECT t.id, t.status, t.items, t.done, t.written, t.unchanged, t.failed, t.created_at, t.document
FROM tasks t JOIN integrations i ON i.seq = t.integration
WHERE t.id = sqlc.arg(id) AND i.id = sqlc.arg(integration) AND i.environment_id = sqlc.arg(environment);

-- name: OverdueTasks :many
SELECT seq, id, created_at, items FROM tasks
WHERE status = 0 AND deadline <= sqlc.arg(now) AND started = 0
ORDER BY deadline LIMIT sqlc.arg(most);

-- name: FailUnstartedTask :execrows
UPDATE tasks SET status = 2, done = items, failed = items, completed_at = sqlc.arg(completed_at), document = sqlc.arg(document)
WHERE seq = sqlc.arg(seq) AND status = 0 AND started = 0;

-- name: UnstartedTasks :many
SELECT seq, id, created_at, items FROM tasks
WHERE integration = sqlc.arg(integration) AND status = 0 AND started = 0
ORDER BY seq LIMIT sqlc.arg(most);
