-- name: SubmitTask :one
-- The integration's drain row is locked before the task takes its number, so tasks are numbered in the order in which they
-- are accepted. Nothing is inserted where the integration is off, gone or full. With an owner, an integration that rests is
-- leased by the way, and a task that fits into a call gets its intent, as ClaimDrain and NextTask would do it.
WITH l AS (
  SELECT d.integration, d.wanted, d.notified_at, d.waiting, d.failures, i.enabled, (i.deleted_at IS NOT NULL)::boolean AS deleted,
    greatest(d.paced_until - clock(), '0')::interval AS paced,
    (@owner::text <> '' AND NOT d.wanted AND d.owner IS NULL AND d.until <= clock() AND d.resume_at <= clock()
      AND i.invalid_reason IS NULL)::boolean AS rests
  FROM drains d JOIN integrations i ON i.seq = d.integration
  WHERE i.id = @integration AND i.environment_id = @environment
  FOR NO KEY UPDATE OF d
), d AS (
  UPDATE drains SET wanted = true, pending = drains.pending + 1, waiting = drains.waiting + @items::integer,
    owner = CASE WHEN l.rests THEN @owner::text ELSE drains.owner END,
    epoch = CASE WHEN l.rests THEN drains.epoch + 1 ELSE drains.epoch END,
    until = CASE WHEN l.rests THEN clock() + @ttl::interval ELSE drains.until END,
    notified_at = CASE WHEN @elsewhere::boolean AND NOT l.wanted AND (l.notified_at IS NULL OR l.notified_at < clock() - @notified_for::interval)
      THEN clock() ELSE drains.notified_at END
  FROM l WHERE drains.integration = l.integration AND l.enabled AND NOT l.deleted
    AND (@most_waiting::bigint = 0 OR l.waiting + @items::integer <= @most_waiting::bigint)
  RETURNING drains.integration, drains.waiting, drains.epoch, (l.rests AND @items::integer <= @open_up_to::integer) AS opened,
    (@elsewhere::boolean AND NOT l.wanted AND (l.notified_at IS NULL OR l.notified_at < clock() - @notified_for::interval))::boolean AS notify
), t AS (
  INSERT INTO tasks (id, integration, key_id, items, started, created_at, deadline, block)
  SELECT @id, d.integration, @key_id, @items::integer, d.opened, clock(), clock() + @timeout::interval, @block FROM d
  RETURNING seq
), b AS (
  INSERT INTO task_items (task, start, block)
  SELECT t.seq, unnest(@starts::integer[]), unnest(@blocks::bytea[]) FROM t
), n AS (
  INSERT INTO intents (integration, task, start, stop, epoch, opened_at)
  SELECT d.integration, t.seq, 0, @items::integer, d.epoch, clock() FROM t, d WHERE d.opened
)
SELECT sqlc.embed(i), l.deleted::boolean AS deleted, clock()::timestamptz AS created_at, l.waiting AS waiting_before, l.paced, l.failures, l.rests,
  EXISTS (SELECT 1 FROM d) AS accepted, coalesce((SELECT d.notify FROM d), false)::boolean AS notify,
  coalesce((SELECT d.epoch FROM d), 0)::bigint AS epoch, coalesce((SELECT d.opened FROM d), false)::boolean AS opened,
  coalesce((SELECT t.seq FROM t), 0)::bigint AS task
FROM l JOIN integrations i ON i.seq = l.integration;

-- name: ClearNotified :exec
UPDATE drains SET notified_at = NULL
WHERE integration = (SELECT seq FROM integrations WHERE id = @id) AND notified_at IS NOT NULL;

-- name: Task :one
-- Of the two tables a task is in exactly one, whenever this looks.
SELECT t.id, t.status, t.items, t.items AS done, t.written, t.unchanged, t.failed, t.created_at, t.document
FROM results t JOIN integrations i ON i.seq = t.integration
WHERE t.id = @id AND i.id = @integration AND i.environment_id = @environment
UNION ALL
SELECT t.id, 0::smallint, t.items, t.done, t.written, t.unchanged, t.failed, t.created_at, NULL::bytea
FROM tasks t JOIN integrations i ON i.seq = t.integration
WHERE t.id = @id AND i.id = @integration AND i.environment_id = @environment;

-- name: ExpiredTask :one
SELECT t.expired_at
FROM expired t JOIN integrations i ON i.seq = t.integration
WHERE t.id = @id AND i.id = @integration AND i.environment_id = @environment;

-- name: OverdueTasks :many
SELECT seq, id, created_at, items, clock()::timestamptz AS now FROM tasks
WHERE deadline <= clock() AND NOT started
ORDER BY deadline LIMIT @most;

-- name: UnstartedTasks :many
-- A range for the same reason as in NextTask.
SELECT seq, id, created_at, items FROM tasks
WHERE integration BETWEEN @integration AND @integration AND NOT started
ORDER BY integration, seq LIMIT @most;

-- name: LockDrainsOfTasks :exec
SELECT 1 FROM drains WHERE integration IN (SELECT integration FROM tasks WHERE seq = ANY (@tasks::bigint[]))
ORDER BY integration FOR NO KEY UPDATE;

-- name: FailUnstartedTasks :many
WITH t AS (
  DELETE FROM tasks WHERE tasks.seq = ANY (@tasks::bigint[]) AND NOT tasks.started RETURNING *
), i AS (
  DELETE FROM task_items USING t WHERE task_items.task = t.seq RETURNING task_items.task, task_items.start, task_items.block
), d AS (
  UPDATE drains SET pending = drains.pending - s.tasks, waiting = drains.waiting - s.items
  FROM (SELECT t.integration, count(*) AS tasks, sum(t.items) AS items FROM t GROUP BY t.integration) s
  WHERE drains.integration = s.integration
), r AS (
  INSERT INTO results (seq, id, integration, key_id, status, items, written, unchanged, failed, rewrite, created_at, completed_at, document, blocks)
  SELECT t.seq, t.id, t.integration, t.key_id, 2, t.items, 0, 0, t.items, t.rewrite, t.created_at, u.completed_at, u.document,
    CASE WHEN t.block IS NOT NULL THEN ARRAY[t.block] ELSE (SELECT array_agg(i.block ORDER BY i.start) FROM i WHERE i.task = t.seq) END
  FROM t JOIN (SELECT unnest(@tasks::bigint[]) AS task, unnest(@completed_at::timestamptz[]) AS completed_at, unnest(@documents::bytea[]) AS document) u
    ON u.task = t.seq
)
SELECT seq FROM t;

-- name: LockDrainOfTask :one
SELECT d.integration, i.id FROM tasks t JOIN integrations i ON i.seq = t.integration JOIN drains d ON d.integration = t.integration
WHERE t.id = @id AND i.environment_id = @environment FOR NO KEY UPDATE OF d;

-- name: EndedIn :one
SELECT EXISTS (SELECT 1 FROM results t JOIN integrations i ON i.seq = t.integration WHERE t.id = @id AND i.environment_id = @environment);

-- name: TaskToCancel :one
SELECT seq, items, started, created_at, (deadline = 'epoch')::boolean AS cancelled, clock()::timestamptz AS now FROM tasks WHERE id = @id;

-- name: CancelStarted :exec
-- Its deadline is before all others. Whoever drains the integration leaves and claims again, as after a change of its settings.
WITH t AS (
  UPDATE tasks SET deadline = 'epoch' WHERE tasks.seq = @task
)
UPDATE integrations SET settings_version = settings_version + 1 WHERE integrations.seq = @integration;
