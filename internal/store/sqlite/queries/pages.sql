-- name: TaskHead :one
SELECT t.seq, t.id, t.key_id, t.status, t.items, t.done, t.written, t.unchanged, t.failed, t.started, t.attempt, t.rewrite, t.created_at,
  t.deadline, t.completed_at, i.id AS integration_id, i.tool, i.name AS customer
FROM tasks t JOIN integrations i ON i.seq = t.integration
WHERE t.id = sqlc.arg(id) AND i.environment_id = sqlc.arg(environment);

-- name: TaskWhere :one
SELECT i.environment_id FROM tasks t JOIN integrations i ON i.seq = t.integration WHERE t.id = sqlc.arg(id);

-- name: TaskExpiredIn :one
SELECT e.expired_at FROM expired_tasks e JOIN integrations i ON i.seq = e.integration
WHERE e.id = sqlc.arg(id) AND i.environment_id = sqlc.arg(environment);

-- name: TaskDocument :one
SELECT document FROM tasks WHERE seq = sqlc.arg(seq);

-- name: TaskBlocks :many
SELECT start, block FROM task_items WHERE task = sqlc.arg(task) ORDER BY start;

-- name: Activity :many
-- Summed up before it is joined: a busy day has a hundred thousand tasks, and few integrations.
SELECT i.id AS integration_id, a.hour, a.tasks, a.partly_failed, a.all_failed, a.written, a.unchanged, a.failed, a.succeeded_at
FROM (
  SELECT t.integration, CAST(t.completed_at / 3600000 * 3600000 AS INTEGER) AS hour, count(*) AS tasks,
    count(CASE WHEN t.failed > 0 AND t.written + t.unchanged > 0 THEN 1 END) AS partly_failed,
    count(CASE WHEN t.failed > 0 AND t.written + t.unchanged = 0 THEN 1 END) AS all_failed,
    CAST(sum(t.written) AS INTEGER) AS written, CAST(sum(t.unchanged) AS INTEGER) AS unchanged, CAST(sum(t.failed) AS INTEGER) AS failed,
    CAST(max(CASE WHEN t.written + t.unchanged > 0 THEN t.completed_at ELSE 0 END) AS INTEGER) AS succeeded_at
  FROM tasks t INDEXED BY tasks_ended WHERE t.status <> 0 AND t.completed_at >= sqlc.arg(since) GROUP BY t.integration, hour
) a JOIN integrations i ON i.seq = a.integration
WHERE i.environment_id = sqlc.arg(environment);

-- name: IntegrationStates :many
SELECT sqlc.embed(i), d.owner, d.until, d.resume_at, d.paced_until, d.pending, d.waiting, d.skills,
  CAST(coalesce((SELECT t.seq FROM tasks t WHERE t.integration = i.seq AND t.status = 0 ORDER BY t.seq LIMIT 1), 0) AS INTEGER) AS oldest
FROM json_each(sqlc.arg(refs)) r CROSS JOIN integrations i ON i.seq = r.value JOIN drains d ON d.integration = i.seq
ORDER BY r.key;

-- name: IntegrationState :one
SELECT sqlc.embed(i), d.owner, d.until, d.resume_at, d.paced_until, d.pending, d.waiting, d.skills,
  CAST(coalesce((SELECT t.seq FROM tasks t WHERE t.integration = i.seq AND t.status = 0 ORDER BY t.seq LIMIT 1), 0) AS INTEGER) AS oldest
FROM integrations i JOIN drains d ON d.integration = i.seq
WHERE i.environment_id = sqlc.arg(environment) AND i.id = sqlc.arg(id);

-- name: TaskHeadBySeq :one
SELECT t.seq, t.id, t.key_id, t.status, t.items, t.done, t.written, t.unchanged, t.failed, t.started, t.attempt, t.rewrite, t.created_at,
  t.deadline, t.completed_at, i.id AS integration_id, i.tool, i.name AS customer
FROM tasks t JOIN integrations i ON i.seq = t.integration
WHERE t.seq = sqlc.arg(seq);

-- name: SkillRow :one
SELECT s.integration, s.origin_id, s.id, s.remote_id, s.name, s.status, CAST(s.hash IS NOT NULL AS INTEGER) AS known, s.unsure, s.written_at, s.error_code, s.error_message,
  s.error_at, s.noted, s.noted_at, s.noted_name, s.noted_status, i.id AS integration_id, i.tool, i.name AS customer, CAST(coalesce((SELECT t.id FROM tasks t WHERE t.seq = s.written_by), '') AS TEXT) AS written_by
FROM skills s JOIN integrations i ON i.seq = s.integration
WHERE i.environment_id = sqlc.arg(environment) AND i.id = sqlc.arg(integration) AND s.origin_id = sqlc.arg(origin_id);

-- name: SkillByID :one
SELECT i.id AS integration_id, s.origin_id FROM integrations i CROSS JOIN skills s ON s.integration = i.seq AND s.id = sqlc.arg(id)
WHERE i.environment_id = sqlc.arg(environment);

-- name: CountCatalogue :many
SELECT i.id AS integration_id, count(*) AS total, count(CASE WHEN s.hash IS NOT NULL THEN 1 END) AS in_step, count(s.error_at) AS refused,
  count(CASE WHEN s.unsure = 1 THEN 1 END) AS unsure
FROM skills s JOIN integrations i ON i.seq = s.integration
WHERE i.environment_id = sqlc.arg(environment) AND i.deleted_at IS NULL
GROUP BY s.integration;
