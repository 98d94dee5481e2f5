-- name: SyncOf :one
SELECT i.seq, i.enabled, (i.deleted_at IS NOT NULL)::boolean AS deleted, s.active, s.id, s.whole
FROM integrations i JOIN syncs s ON s.integration = i.seq
WHERE i.id = @id AND i.environment_id = @environment FOR NO KEY UPDATE OF s;

-- name: SyncState :one
SELECT s.* FROM syncs s JOIN integrations i ON i.seq = s.integration WHERE i.id = @id AND i.environment_id = @environment;

-- name: StartSync :exec
WITH d AS (
  DELETE FROM sync_seen WHERE sync_seen.integration = @integration
)
UPDATE syncs SET active = true, id = @id, whole = @whole, due_at = clock(), started_at = CASE WHEN @started::boolean THEN clock() END,
  phase = 0, position = '', pages = 0, attempt = 0, restarts = 0, records = 0, changed = 0, gone = 0
WHERE syncs.integration = @integration;

-- name: WidenSync :exec
-- It begins anew as a whole one. What is not whole has noted nothing that it has seen.
UPDATE syncs SET whole = true, started_at = NULL WHERE integration = @integration;

-- name: DueSyncs :many
SELECT i.id FROM syncs s JOIN integrations i ON i.seq = s.integration JOIN drains d ON d.integration = s.integration
WHERE s.due_at <= clock() AND (s.active OR @periodic::boolean)
  AND i.enabled AND i.deleted_at IS NULL AND i.invalid_reason IS NULL AND d.until <= clock() AND d.resume_at <= clock()
ORDER BY s.due_at LIMIT @most;

-- name: ClaimableSync :one
-- The drain's row is locked already.
SELECT sqlc.embed(i), sqlc.embed(s), (d.owner IS NOT NULL)::boolean AS stolen, clock()::timestamptz AS now,
  greatest(d.paced_until - clock(), '0')::interval AS paced
FROM integrations i JOIN syncs s ON s.integration = i.seq JOIN drains d ON d.integration = i.seq
WHERE i.id = @id AND s.due_at <= clock() AND (s.active OR @periodic::boolean)
  AND i.enabled AND i.deleted_at IS NULL AND i.invalid_reason IS NULL
  AND d.until <= clock() AND d.resume_at <= clock() AND (NOT d.wanted OR @beside::boolean)
  AND NOT EXISTS (SELECT 1 FROM intents WHERE intents.integration = i.seq)
FOR NO KEY UPDATE OF s;

-- name: TakeLease :one
UPDATE drains SET owner = @owner, epoch = epoch + 1, until = clock() + @ttl::interval WHERE integration = @integration RETURNING epoch;

-- name: MoveSync :one
-- It tells whether tasks are waiting. No row: the sync begins anew.
UPDATE syncs SET phase = @phase, position = @position, pages = @pages, attempt = @attempt, restarts = @restarts, records = @records, changed = @changed, gone = @gone,
  due_at = greatest(syncs.due_at, clock() + @resume_in::interval)
FROM drains d WHERE syncs.integration = @integration AND syncs.started_at IS NOT NULL AND d.integration = syncs.integration
RETURNING d.wanted;

-- name: EndSync :exec
WITH d AS (
  DELETE FROM sync_seen WHERE sync_seen.integration = @integration
)
UPDATE syncs SET active = false, ended_at = clock(), error = sqlc.narg(error)::text, due_at = clock() + @next::interval,
  succeeded_at = CASE WHEN sqlc.narg(error)::text IS NULL THEN clock() ELSE succeeded_at END
WHERE syncs.integration = @integration;

-- name: GiveLeaseBack :exec
UPDATE drains SET owner = NULL, until = 'epoch' WHERE integration = @integration;

-- name: NoteSkills :exec
UPDATE skills s SET remote_id = nullif(v.remote_id, ''), hash = CASE WHEN v.doubt THEN NULL ELSE s.hash END,
  noted = CASE WHEN v.new_note THEN nullif(v.note, 0) ELSE s.noted END,
  noted_name = CASE WHEN v.new_note THEN v.name ELSE s.noted_name END,
  noted_status = CASE WHEN v.new_note THEN v.status ELSE s.noted_status END,
  noted_at = CASE WHEN v.new_note THEN clock() ELSE s.noted_at END
FROM (
  SELECT unnest(@origin_ids::text[]) AS origin_id, unnest(@remote_ids::text[]) AS remote_id, unnest(@doubts::boolean[]) AS doubt,
    unnest(@new_notes::boolean[]) AS new_note, unnest(@notes::smallint[]) AS note, unnest(@names::text[]) AS name, unnest(@statuses::smallint[]) AS status,
    unnest(@written::timestamptz[]) AS written, unnest(@noted::timestamptz[]) AS noted
) v
WHERE s.integration = @integration AND s.origin_id = v.origin_id
  AND coalesce(s.written_at, 'epoch') = v.written AND coalesce(s.noted_at, 'epoch') = v.noted;

-- name: InsertListedSkills :exec
INSERT INTO skills (integration, origin_id, id, remote_id, name, status)
SELECT @integration, unnest(@origin_ids::text[]), unnest(@ids::text[]), unnest(@remote_ids::text[]), unnest(@names::text[]), unnest(@statuses::smallint[])
ON CONFLICT (integration, origin_id) DO NOTHING;

-- name: KeepRemoteSkills :exec
INSERT INTO remote_skills (integration, changed_at, remote_id, id, name, status, gone_at, apart)
SELECT @integration, clock(), u.remote_id, nullif(u.id, ''), u.name, u.status, CASE WHEN u.gone THEN clock() END, u.apart
FROM (SELECT unnest(@remote_ids::text[]) AS remote_id, unnest(@ids::text[]) AS id, unnest(@names::text[]) AS name,
  unnest(@statuses::smallint[]) AS status, unnest(@gone::boolean[]) AS gone, unnest(@apart::boolean[]) AS apart) u
ON CONFLICT (integration, remote_id) DO UPDATE SET id = coalesce(remote_skills.id, excluded.id), name = excluded.name, status = excluded.status,
  apart = excluded.apart, changed_at = excluded.changed_at, gone_at = excluded.gone_at;

-- name: DropRemoteSkills :exec
DELETE FROM remote_skills WHERE integration = @integration AND remote_id = ANY (@remote_ids::text[]);

-- name: InsertSeen :exec
INSERT INTO sync_seen (integration, page, block) VALUES (@integration, @page, @block) ON CONFLICT (integration, page) DO UPDATE SET block = excluded.block;

-- name: SeenBlocks :many
SELECT block FROM sync_seen WHERE integration = @integration;

-- name: ReadableIntegration :one
SELECT seq FROM integrations WHERE id = @id AND environment_id = @environment AND deleted_at IS NULL;

-- name: IntegrationForWish :one
SELECT i.seq, i.enabled, (i.deleted_at IS NOT NULL)::boolean AS deleted, d.waiting, (d.owner IS NOT NULL)::boolean AS leased, clock()::timestamptz AS now
FROM integrations i JOIN drains d ON d.integration = i.seq
WHERE i.id = @id AND i.environment_id = @environment FOR NO KEY UPDATE OF d;

-- name: RemoteSkillByID :one
SELECT remote_id, name, status FROM remote_skills WHERE integration = @integration AND id = @id::text;

-- name: InsertWish :exec
WITH d AS (
  UPDATE drains SET has_skills = true WHERE drains.integration = @integration AND NOT has_skills
)
INSERT INTO skills (integration, origin_id, id, remote_id, name, status) VALUES (@integration, @origin_id, @id, nullif(@remote_id::text, ''), @name, @status);

-- name: AskSkill :exec
UPDATE skills SET noted = 2, noted_at = @noted_at::timestamptz, noted_name = @name::text, noted_status = @status::smallint
WHERE integration = @integration AND origin_id = @origin_id;

-- name: TasksInHand :many
-- Those of which a drain may have looked skills up: what was begun, and the oldest. A range for the same reason as in NextTask.
SELECT tasks.seq FROM tasks WHERE tasks.integration BETWEEN @integration AND @integration
  AND (tasks.started OR tasks.seq = (SELECT t.seq FROM tasks t WHERE t.integration BETWEEN @integration AND @integration ORDER BY t.integration, t.seq LIMIT 1));

-- name: ItemBlocks :many
SELECT tasks.block::bytea AS block FROM tasks WHERE tasks.seq = @task AND tasks.block IS NOT NULL
UNION ALL
SELECT task_items.block FROM task_items WHERE task_items.task = @task;

-- name: SyncHealth :one
SELECT count(*) FILTER (WHERE s.active) AS active,
  coalesce(min(coalesce(s.succeeded_at, i.created_at)) FILTER (WHERE i.enabled AND i.deleted_at IS NULL), 'epoch')::timestamptz AS oldest
FROM syncs s JOIN integrations i ON i.seq = s.integration;
