-- name: TaskHead :one
-- Of the two tables a task is in exactly one, whenever this looks.
SELECT 0::bigint AS seq, t.id, t.key_id, t.status, t.items, t.items AS done, t.written, t.unchanged, t.failed, true AS started, 0::integer AS attempt, t.rewrite,
  t.created_at, 'epoch'::timestamptz AS deadline, t.completed_at, i.id AS integration_id, i.tool, i.name AS customer
FROM results t JOIN integrations i ON i.seq = t.integration
WHERE t.id = @id AND i.environment_id = @environment
UNION ALL
SELECT t.seq, t.id, t.key_id, 0::smallint, t.items, t.done, t.written, t.unchanged, t.failed, t.started, t.attempt, t.rewrite,
  t.created_at, t.deadline, 'epoch'::timestamptz, i.id, i.tool, i.name
FROM tasks t JOIN integrations i ON i.seq = t.integration
WHERE t.id = @id AND i.environment_id = @environment;

-- name: TaskWhere :one
SELECT i.environment_id FROM integrations i
WHERE i.seq = (SELECT integration FROM results WHERE results.id = @id UNION ALL SELECT integration FROM tasks WHERE tasks.id = @id LIMIT 1);

-- name: TaskExpiredIn :one
SELECT e.expired_at FROM expired e JOIN integrations i ON i.seq = e.integration
WHERE e.id = @id AND i.environment_id = @environment;

-- name: EndedBlocks :many
-- One after the other, so that each is looked for in its own partition.
SELECT r.id, r.blocks FROM (SELECT unnest(@ids::text[]) AS id) u CROSS JOIN LATERAL (
  SELECT results.id, results.blocks FROM results WHERE results.id = u.id OFFSET 0
) r;

-- name: EndedDocuments :many
SELECT r.id, r.document FROM (SELECT unnest(@ids::text[]) AS id) u CROSS JOIN LATERAL (
  SELECT results.id, results.document FROM results WHERE results.id = u.id OFFSET 0
) r;

-- name: TaskBlocks :many
SELECT tasks.seq AS task, 0::integer AS start, tasks.block::bytea AS block FROM tasks WHERE tasks.seq = ANY (@tasks::bigint[]) AND tasks.block IS NOT NULL
UNION ALL
SELECT task_items.task, task_items.start, task_items.block FROM task_items WHERE task_items.task = ANY (@tasks::bigint[])
ORDER BY task, start;

-- name: OutcomesOf :many
SELECT task, start, block FROM task_outcomes WHERE task = ANY (@tasks::bigint[]) ORDER BY task, start;

-- name: Activity :many
-- A task ends within a time that its id does not know: so the ids begin somewhat earlier.
SELECT i.id AS integration_id, date_trunc('hour', t.completed_at, 'UTC')::timestamptz AS hour, count(*) AS tasks,
  count(*) FILTER (WHERE t.failed > 0 AND t.written + t.unchanged > 0) AS partly_failed,
  count(*) FILTER (WHERE t.failed > 0 AND t.written + t.unchanged = 0) AS all_failed, sum(t.written)::bigint AS written,
  sum(t.unchanged)::bigint AS unchanged, sum(t.failed)::bigint AS failed,
  coalesce(max(t.completed_at) FILTER (WHERE t.written + t.unchanged > 0), 'epoch')::timestamptz AS succeeded_at
FROM integrations i JOIN results t ON t.integration = i.seq
WHERE i.environment_id = @environment AND t.id >= @first_id AND t.completed_at >= @since::timestamptz
GROUP BY i.id, date_trunc('hour', t.completed_at, 'UTC');

-- name: IntegrationStates :many
SELECT sqlc.embed(i), (d.until > clock())::boolean AS leased, d.resume_at, d.paced_until, d.pending, d.waiting, clock()::timestamptz AS now,
  coalesce((SELECT t.seq FROM tasks t WHERE t.integration = i.seq ORDER BY t.seq LIMIT 1), 0)::bigint AS oldest
FROM unnest(@refs::bigint[]) WITH ORDINALITY AS r (ref, place) JOIN integrations i ON i.seq = r.ref JOIN drains d ON d.integration = i.seq
ORDER BY r.place;

-- name: IntegrationState :one
SELECT sqlc.embed(i), (d.until > clock())::boolean AS leased, d.resume_at, d.paced_until, d.pending, d.waiting, clock()::timestamptz AS now,
  coalesce((SELECT t.seq FROM tasks t WHERE t.integration = i.seq ORDER BY t.seq LIMIT 1), 0)::bigint AS oldest
FROM integrations i JOIN drains d ON d.integration = i.seq
WHERE i.environment_id = @environment AND i.id = @id;

-- name: TaskHeadBySeq :one
SELECT t.seq, t.id, t.key_id, 0::smallint AS status, t.items, t.done, t.written, t.unchanged, t.failed, t.started, t.attempt, t.rewrite,
  t.created_at, t.deadline, 'epoch'::timestamptz AS completed_at, i.id AS integration_id, i.tool, i.name AS customer
FROM tasks t JOIN integrations i ON i.seq = t.integration
WHERE t.seq = @seq;

-- name: SkillRow :one
SELECT s.origin_id, s.id, s.remote_id, s.name, s.status, (s.hash IS NOT NULL)::boolean AS known, s.unsure, s.written_at, s.error_code, s.error_message,
  s.error_at, s.noted, s.noted_at, s.noted_name, s.noted_status, s.written_by, i.seq AS integration_ref, i.id AS integration_id, i.tool, i.name AS customer
FROM skills s JOIN integrations i ON i.seq = s.integration
WHERE i.environment_id = @environment AND i.id = @integration AND s.origin_id = @origin_id;

-- name: Writers :many
-- The tasks that skills of an environment name, whether they go on or have ended.
SELECT t.seq::bigint AS seq, t.id FROM tasks t WHERE t.seq = ANY (@seqs::bigint[])
UNION ALL
SELECT r.seq::bigint AS seq, r.id FROM results r WHERE r.seq = ANY (@seqs::bigint[]);

-- name: SkillByID :one
SELECT i.id AS integration_id, s.origin_id FROM integrations i CROSS JOIN LATERAL (
  SELECT s.origin_id FROM skills s WHERE s.integration + 0 = i.seq AND s.id = @id OFFSET 0
) s WHERE i.environment_id = @environment;

-- name: CountCatalogue :many
SELECT i.id AS integration_id, count(*) AS total, count(s.hash) AS in_step, count(s.error_at) AS refused, count(*) FILTER (WHERE s.unsure) AS unsure
FROM skills s JOIN integrations i ON i.seq = s.integration
WHERE i.environment_id = @environment AND i.deleted_at IS NULL
GROUP BY i.id;
