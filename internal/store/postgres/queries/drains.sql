-- name: ClaimDrain :one
-- The drain's row is locked already: this sees what was there before somebody else's lock was given back.
UPDATE drains SET owner = @owner, epoch = d.epoch + 1, until = clock() + @ttl::interval
FROM drains d JOIN integrations i ON i.seq = d.integration
WHERE drains.integration = d.integration AND i.id = @id
  AND d.wanted AND d.until <= clock() AND (d.resume_at <= clock() OR @force::boolean)
RETURNING sqlc.embed(i), drains.epoch, (d.owner IS NOT NULL)::boolean AS stolen, clock()::timestamptz AS now,
  greatest(d.resume_at - clock(), '0')::interval AS hold, greatest(d.paced_until - clock(), '0')::interval AS paced, d.failures,
  EXISTS (SELECT 1 FROM intents WHERE intents.integration = d.integration AND intents.receipt IS NULL) AS open_intents;

-- name: HoldLease :one
-- The lease's integration and its waits, under the lock of the drain's row. Without the lease the transaction ends here.
SELECT sqlc.embed(i), clock()::timestamptz AS now,
  greatest(d.resume_at - clock(), '0')::interval AS hold, greatest(d.paced_until - clock(), '0')::interval AS paced,
  coalesce(d.failures, 0)::integer AS failures
FROM integrations i LEFT JOIN LATERAL (
  SELECT * FROM drains WHERE drains.integration = i.seq AND drains.owner = @owner AND drains.epoch = @epoch FOR NO KEY UPDATE
) d ON true
WHERE i.seq = @integration AND (d.integration IS NOT NULL OR refuse('WC001'));

-- name: AccountOf :one
SELECT settings, credentials FROM integrations WHERE seq = $1;

-- name: ExtendLeases :many
-- A lease that was ended, with a ttl of 0, has ended at the epoch, and stays so. A row that somebody keeps locked is left out:
-- what is known of it is what was there before.
WITH u AS (
  SELECT unnest(@refs::bigint[]) AS ref, unnest(@epochs::bigint[]) AS epoch
), l AS (
  SELECT d.integration FROM drains d JOIN u ON u.ref = d.integration AND u.epoch = d.epoch
  WHERE d.owner = @owner AND (d.until > 'epoch' OR @ttl::interval = '0')
  ORDER BY d.integration FOR NO KEY UPDATE OF d SKIP LOCKED
), p AS (
  UPDATE drains SET until = CASE WHEN @ttl::interval > '0' THEN clock() + @ttl::interval ELSE 'epoch' END FROM l WHERE drains.integration = l.integration
  RETURNING drains.integration
)
SELECT i.seq, i.enabled, i.deleted_at, i.invalid_reason, i.settings_version,
  NOT EXISTS (SELECT 1 FROM p WHERE p.integration = d.integration) AS locked
FROM u JOIN drains d ON d.integration = u.ref AND d.epoch = u.epoch JOIN integrations i ON i.seq = d.integration
WHERE d.owner = @owner AND (d.until > 'epoch' OR @ttl::interval = '0');

-- name: ReleaseDrain :exec
UPDATE drains SET owner = NULL, until = 'epoch', wanted = @wanted, resume_at = greatest(resume_at, clock() + @resume_in::interval)
WHERE integration = @integration;

-- name: HoldDrain :exec
UPDATE drains SET
  resume_at = greatest(resume_at, CASE WHEN @hold::interval > '0' THEN clock() + @hold::interval END),
  paced_until = CASE WHEN @pace::interval > '0' THEN clock() + @pace::interval ELSE paced_until END
WHERE integration = @integration;

-- name: NoteFailures :exec
UPDATE drains SET failures = @failures, away = @away, away_since = coalesce(away_since, clock()) WHERE integration = @integration;

-- name: ForgetFailures :exec
UPDATE drains SET failures = 0, away = false, away_since = NULL WHERE integration = @integration;

-- name: SetHasSkills :exec
UPDATE drains SET has_skills = true WHERE integration = @integration AND NOT has_skills;

-- name: NextTask :one
-- The oldest task; while the integration is paused, the oldest whose deadline has passed. One that fits into a call gets its
-- intent. Without a task the lease is given back. The integration is asked for as a range: of one that is equal the order is
-- also found in the primary key, and a planner that knows of many tasks would read those of all others on the way.
WITH i AS (
  SELECT (i.enabled OR i.deleted_at IS NOT NULL) AS open, (i.enabled AND i.deleted_at IS NULL AND i.invalid_reason IS NULL) AS sendable
  FROM integrations i WHERE i.seq = @integration
), t AS (
  SELECT tasks.*, (tasks.deadline - clock())::interval AS time_left,
    ((SELECT i.sendable FROM i) AND tasks.deadline > clock() AND tasks.done = 0 AND tasks.items <= @open_up_to::integer
      AND NOT (tasks.started AND EXISTS (SELECT 1 FROM intents WHERE intents.integration = tasks.integration AND intents.task = tasks.seq))
    )::boolean AS opened
  FROM tasks WHERE tasks.integration BETWEEN @integration AND @integration AND ((SELECT i.open FROM i) OR tasks.deadline <= clock())
  ORDER BY tasks.integration, tasks.seq LIMIT 1
), s AS (
  UPDATE tasks SET started = true FROM t WHERE tasks.seq = t.seq AND t.opened AND NOT t.started
), n AS (
  INSERT INTO intents (integration, task, start, stop, epoch, opened_at)
  SELECT @integration, t.seq, 0, t.items, @epoch, clock() FROM t WHERE t.opened
), r AS (
  UPDATE drains SET owner = NULL, until = 'epoch', wanted = EXISTS (SELECT 1 FROM tasks WHERE tasks.integration = @integration)
  WHERE drains.integration = @integration AND NOT EXISTS (SELECT 1 FROM t)
)
SELECT t.seq, t.id, t.items, t.written, t.unchanged, t.failed, t.touched, t.rewrite, t.started, t.attempt, t.created_at, t.time_left, t.opened,
  (t.deadline = 'epoch')::boolean AS cancelled,
  CASE WHEN t.opened THEN coalesce(t.block, b.block) END::bytea AS block
FROM t LEFT JOIN task_items b ON b.task = t.seq AND b.start = 0 AND t.opened AND t.block IS NULL;

-- name: OpenIntents :exec
WITH t AS (
  UPDATE tasks SET started = true WHERE seq = @task AND NOT started
)
INSERT INTO intents (integration, task, start, stop, epoch, opened_at)
SELECT @integration, tasks.seq, u.start, u.stop, @epoch, clock()
FROM tasks, (SELECT unnest(@starts::integer[]) AS start, unnest(@stops::integer[]) AS stop) u WHERE tasks.seq = @task;

-- name: CheckpointTask :one
WITH n AS (
  DELETE FROM intents WHERE intents.integration = @integration AND intents.task = @task AND intents.start = ANY (@closed::integer[])
), o AS (
  INSERT INTO task_outcomes (task, start, block)
  SELECT @task, unnest(@starts::integer[]), unnest(@blocks::bytea[])
), t AS (
  UPDATE tasks SET started = true, done = done + @done::integer, written = written + @written::integer, unchanged = unchanged + @unchanged::integer,
    failed = failed + @failed::integer, touched = touched OR @touched::boolean, attempt = @attempt
  WHERE seq = @task RETURNING seq
)
SELECT 1 WHERE EXISTS (SELECT 1 FROM t) OR refuse('WC002');

-- name: FinishTask :one
WITH t AS (
  DELETE FROM tasks WHERE tasks.seq = @task RETURNING *
), i AS (
  DELETE FROM task_items USING t WHERE task_items.task = t.seq AND t.block IS NULL RETURNING task_items.start, task_items.block
), o AS (
  DELETE FROM task_outcomes WHERE task_outcomes.task = @task
), n AS (
  DELETE FROM intents WHERE intents.integration = @integration AND intents.task = @task
), d AS (
  UPDATE drains SET pending = drains.pending - 1, waiting = drains.waiting - t.items FROM t WHERE drains.integration = t.integration
), r AS (
  INSERT INTO results (seq, id, integration, key_id, status, items, written, unchanged, failed, rewrite, created_at, completed_at, document, blocks)
  SELECT t.seq, t.id, t.integration, t.key_id, @status, t.items, @written, @unchanged, @failed, t.rewrite, t.created_at, @completed_at, @document,
    CASE WHEN t.block IS NOT NULL THEN ARRAY[t.block] ELSE (SELECT array_agg(i.block ORDER BY i.start) FROM i) END
  FROM t
)
SELECT 1 WHERE EXISTS (SELECT 1 FROM t) OR refuse('WC002');

-- name: EndLastTask :one
-- HoldLease, UpsertSkills, FinishTask and NextTask in one, for a small task behind which none is waiting: most of the time that
-- they take goes into beginning them. If one has come all the same, the lease is kept.
WITH d AS (
  UPDATE drains SET pending = drains.pending - 1, waiting = drains.waiting - @items::integer,
    has_skills = drains.has_skills OR coalesce(cardinality(@origin_ids::text[]), 0) > 0, wanted = drains.pending > 1,
    owner = CASE WHEN drains.pending > 1 THEN drains.owner END, until = CASE WHEN drains.pending > 1 THEN drains.until ELSE 'epoch' END
  WHERE drains.integration = @integration AND drains.owner = @owner AND drains.epoch = @epoch
  RETURNING drains.pending, drains.resume_at, drains.paced_until, drains.failures
), t AS (
  DELETE FROM tasks WHERE tasks.seq = @task AND tasks.block IS NOT NULL AND EXISTS (SELECT 1 FROM d) RETURNING *
), o AS (
  DELETE FROM task_outcomes USING t WHERE task_outcomes.task = t.seq AND t.done > 0
), n AS (
  DELETE FROM intents USING t WHERE intents.integration = @integration AND intents.task = t.seq
), u AS (
  INSERT INTO skills (integration, written_at, written_by, origin_id, id, remote_id, name, status, hash)
  SELECT @integration, clock(), @task::bigint, unnest(@origin_ids::text[]), unnest(@ids::text[]), unnest(@remote_ids::text[]), unnest(@names::text[]),
    unnest(@statuses::smallint[]), unnest(@hashes::bytea[])
  ON CONFLICT (integration, origin_id) DO UPDATE SET
    written_at = CASE WHEN skills.noted = 2 AND skills.noted_at > coalesce(skills.written_at, 'epoch') AND skills.noted_at > coalesce(skills.error_at, 'epoch')
      AND (skills.noted_name <> excluded.name OR skills.noted_status <> excluded.status)
      AND EXISTS (SELECT 1 FROM tasks k WHERE k.seq = @task AND (k.rewrite OR k.created_at <= skills.noted_at))
    THEN least(excluded.written_at, skills.noted_at - interval '1 millisecond') ELSE excluded.written_at END,
    written_by = excluded.written_by, remote_id = excluded.remote_id, name = excluded.name,
    status = excluded.status, hash = excluded.hash, unsure = false, error_code = NULL, error_message = NULL, error_at = NULL
), w AS (
  INSERT INTO unsearched (integration, origin_ids) SELECT @integration, @named::bytea WHERE @named::bytea IS NOT NULL
), r AS (
  INSERT INTO results (seq, id, integration, key_id, status, items, written, unchanged, failed, rewrite, created_at, completed_at, document, blocks)
  SELECT t.seq, t.id, t.integration, t.key_id, @status, t.items, @written, @unchanged, @failed, t.rewrite, t.created_at, @completed_at, @document, ARRAY[t.block]
  FROM t
)
SELECT sqlc.embed(i), clock()::timestamptz AS now, coalesce(d.pending, 0)::bigint AS pending,
  greatest(d.resume_at - clock(), '0')::interval AS hold, greatest(d.paced_until - clock(), '0')::interval AS paced,
  coalesce(d.failures, 0)::integer AS failures
FROM integrations i LEFT JOIN d ON true
WHERE i.seq = @integration AND (EXISTS (SELECT 1 FROM d) OR refuse('WC001')) AND (EXISTS (SELECT 1 FROM t) OR refuse('WC002'));

-- name: MarkIntegrationInvalid :one
-- WC003: settings or credentials are others by now.
WITH i AS (
  UPDATE integrations SET invalid_reason = @reason, invalid_at = clock() WHERE seq = @seq AND settings_version = @settings_version RETURNING seq
)
SELECT 1 WHERE EXISTS (SELECT 1 FROM i) OR refuse('WC003');

-- name: IntentsOf :many
-- Those of plain calls.
SELECT task, start, stop FROM intents WHERE integration = @integration AND receipt IS NULL ORDER BY task, start;

-- name: CloseIntentsOf :exec
WITH t AS (
  UPDATE tasks SET touched = true WHERE seq = ANY (@tasks::bigint[])
)
DELETE FROM intents WHERE intents.integration = @integration AND intents.receipt IS NULL;

-- name: NoteReceipts :exec
UPDATE intents SET receipt = u.receipt, receipt_at = clock()
FROM (SELECT unnest(@starts::integer[]) AS start, unnest(@receipts::text[]) AS receipt) u
WHERE intents.integration = @integration AND intents.task = @task AND intents.start = u.start;

-- name: Jobs :many
SELECT start, stop, receipt::text AS receipt, (clock() - receipt_at)::interval AS age FROM intents
WHERE integration = @integration AND task = @task AND receipt IS NOT NULL ORDER BY start;

-- name: ForgetReceipts :exec
UPDATE intents SET receipt = NULL, receipt_at = NULL WHERE integration = @integration;

-- name: Outcomes :many
SELECT start, block FROM task_outcomes WHERE task = @task ORDER BY start;

-- name: ItemsFrom :one
SELECT 0::integer AS start, tasks.block::bytea AS block FROM tasks WHERE tasks.seq = @task AND tasks.block IS NOT NULL
UNION ALL
(SELECT task_items.start, task_items.block FROM task_items WHERE task_items.task = @task AND task_items.start <= @position ORDER BY task_items.start DESC LIMIT 1)
LIMIT 1;

-- name: FindSkills :many
-- One descent of the index for each, whatever a plan of long ago thought that an integration has: OFFSET 0 leaves no other way.
SELECT s.* FROM (SELECT unnest(@origin_ids::text[]) AS origin_id) u CROSS JOIN LATERAL (
  SELECT skills.origin_id, skills.id, skills.remote_id, skills.hash, skills.unsure,
    (skills.origin_id = skills.id AND coalesce(skills.remote_id, '') <> '' AND skills.written_at IS NULL)::boolean AS taken
  FROM skills
  WHERE skills.integration = @integration AND skills.origin_id = u.origin_id OFFSET 0
) s
WHERE (SELECT drains.has_skills FROM drains WHERE drains.integration = @integration);

-- name: FindSubmitted :many
-- FindSkills for a task that was opened as it was submitted, in the same batch.
SELECT s.* FROM tasks t JOIN drains d ON d.integration = t.integration AND d.has_skills
CROSS JOIN (SELECT unnest(@origin_ids::text[]) AS origin_id) u CROSS JOIN LATERAL (
  SELECT skills.origin_id, skills.id, skills.remote_id, skills.hash, skills.unsure,
    (skills.origin_id = skills.id AND coalesce(skills.remote_id, '') <> '' AND skills.written_at IS NULL)::boolean AS taken
  FROM skills
  WHERE skills.integration = t.integration AND skills.origin_id = u.origin_id OFFSET 0
) s
WHERE t.id = @task AND t.started;

-- name: SkillContents :many
SELECT origin_id, name, status FROM skills
WHERE integration = @integration AND origin_id = ANY (@origin_ids::text[]) AND written_at IS NOT NULL;

-- name: UpsertSkills :exec
-- A wish that came behind the task, and asks for something else, stands: what the task has written, or was refused, is of a time
-- before it.
WITH d AS (
  UPDATE drains SET has_skills = true WHERE drains.integration = @integration AND NOT has_skills
)
INSERT INTO skills (integration, written_at, written_by, origin_id, id, remote_id, name, status, hash)
SELECT @integration, clock(), @task::bigint, unnest(@origin_ids::text[]), unnest(@ids::text[]), unnest(@remote_ids::text[]), unnest(@names::text[]),
  unnest(@statuses::smallint[]), unnest(@hashes::bytea[])
ON CONFLICT (integration, origin_id) DO UPDATE SET
  written_at = CASE WHEN skills.noted = 2 AND skills.noted_at > coalesce(skills.written_at, 'epoch') AND skills.noted_at > coalesce(skills.error_at, 'epoch')
    AND (skills.noted_name <> excluded.name OR skills.noted_status <> excluded.status)
    AND EXISTS (SELECT 1 FROM tasks k WHERE k.seq = @task AND (k.rewrite OR k.created_at <= skills.noted_at))
  THEN least(excluded.written_at, skills.noted_at - interval '1 millisecond') ELSE excluded.written_at END,
  written_by = excluded.written_by, remote_id = excluded.remote_id, name = excluded.name,
  status = excluded.status, hash = excluded.hash, unsure = false, error_code = NULL, error_message = NULL, error_at = NULL;

-- name: RefuseSkills :exec
WITH d AS (
  UPDATE drains SET has_skills = true WHERE drains.integration = @integration AND NOT has_skills
)
INSERT INTO skills (integration, error_at, origin_id, id, name, status, error_code, error_message)
SELECT @integration, clock(), unnest(@origin_ids::text[]), unnest(@ids::text[]), unnest(@names::text[]), unnest(@statuses::smallint[]),
  unnest(@codes::text[]), unnest(@messages::text[])
ON CONFLICT (integration, origin_id) DO UPDATE SET
  error_at = CASE WHEN skills.noted = 2 AND skills.noted_at > coalesce(skills.written_at, 'epoch') AND skills.noted_at > coalesce(skills.error_at, 'epoch')
    AND (skills.noted_name <> excluded.name OR skills.noted_status <> excluded.status)
    AND EXISTS (SELECT 1 FROM tasks k WHERE k.seq = @task AND (k.rewrite OR k.created_at <= skills.noted_at))
  THEN least(excluded.error_at, skills.noted_at - interval '1 millisecond') ELSE excluded.error_at END,
  error_code = excluded.error_code, error_message = excluded.error_message,
  name = CASE WHEN skills.written_at IS NULL THEN excluded.name ELSE skills.name END,
  status = CASE WHEN skills.written_at IS NULL THEN excluded.status ELSE skills.status END;

-- name: UnsureSkills :exec
WITH d AS (
  UPDATE drains SET has_skills = true WHERE drains.integration = @integration AND NOT has_skills
)
INSERT INTO skills (integration, unsure, origin_id, id, name, status)
SELECT @integration, true, unnest(@origin_ids::text[]), unnest(@ids::text[]), unnest(@names::text[]), unnest(@statuses::smallint[])
ON CONFLICT (integration, origin_id) DO UPDATE SET hash = NULL, unsure = true,
  name = CASE WHEN skills.written_at IS NULL THEN excluded.name ELSE skills.name END,
  status = CASE WHEN skills.written_at IS NULL THEN excluded.status ELSE skills.status END;

-- name: DoubtSkills :many
UPDATE skills SET hash = NULL, unsure = true WHERE integration = @integration AND origin_id = ANY (@origin_ids::text[])
RETURNING origin_id, name, status;

-- name: InsertRewrite :exec
-- It counts as started: only a drain may end it.
WITH d AS (
  UPDATE drains SET wanted = true, pending = pending + 1, waiting = waiting + @items::integer WHERE drains.integration = @integration
), t AS (
  INSERT INTO tasks (id, integration, key_id, items, rewrite, started, created_at, deadline)
  VALUES (@id, @integration, '', @items::integer, true, true, clock(), clock() + @timeout::interval)
  RETURNING seq
)
INSERT INTO task_items (task, start, block)
SELECT t.seq, unnest(@starts::integer[]), unnest(@blocks::bytea[]) FROM t;

-- name: LockDrain :one
SELECT clock()::timestamptz AS now, (i.deleted_at IS NOT NULL)::boolean AS deleted FROM drains d JOIN integrations i ON i.seq = d.integration
WHERE d.integration = @integration FOR NO KEY UPDATE OF d;

-- name: DueDrains :many
SELECT i.id FROM drains d JOIN integrations i ON i.seq = d.integration
WHERE d.wanted AND d.until <= clock() AND d.resume_at <= clock() AND (i.enabled OR i.deleted_at IS NOT NULL)
ORDER BY EXISTS (SELECT 1 FROM intents WHERE intents.integration = d.integration) DESC, d.resume_at
LIMIT @most;

-- name: OverdueDrains :many
SELECT DISTINCT i.id FROM tasks t JOIN integrations i ON i.seq = t.integration JOIN drains d ON d.integration = t.integration
WHERE t.deadline <= clock() AND t.started AND d.until <= clock()
LIMIT @most;

-- name: NthSkill :one
SELECT origin_id FROM skills WHERE integration = @integration AND origin_id > @after ORDER BY origin_id LIMIT 1 OFFSET @n;

-- name: DoubtSkillsUpTo :execrows
UPDATE skills SET hash = NULL, unsure = true WHERE integration = @integration AND origin_id > @after AND origin_id <= @last;

-- name: DoubtSkillsAfter :execrows
UPDATE skills SET hash = NULL, unsure = true WHERE integration = @integration AND origin_id > @after;

-- name: RevokeLease :exec
-- Its holder is refused from now on; the next one waits until it has run out, since a call may be under way.
UPDATE drains SET epoch = epoch + 1 WHERE integration = @integration;

-- name: LockDrainByID :one
SELECT integration FROM drains WHERE integration = (SELECT seq FROM integrations WHERE integrations.id = @id) FOR NO KEY UPDATE;
