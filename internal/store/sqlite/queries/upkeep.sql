-- name: EndedTasks :many
SELECT seq, items FROM tasks WHERE status <> 0 AND completed_at < sqlc.arg(before)
ORDER BY completed_at LIMIT sqlc.arg(most);

-- name: KeepNumbers :exec
UPDATE task_numbers SET used = max(used, CAST(sqlc.arg(number) AS INTEGER));

-- name: ForgetExpired :execrows
DELETE FROM expired_tasks WHERE id IN (
  SELECT e.id FROM expired_tasks e WHERE e.expired_at < sqlc.arg(before) ORDER BY e.expired_at LIMIT sqlc.arg(most)
);

-- name: QueueHealth :one
-- A cancelled task has no deadline any more, and no moment: it is overdue when nobody has been at its integration for a while.
SELECT CAST(coalesce(sum(d.pending), 0) AS INTEGER) AS pending, CAST(coalesce(sum(d.waiting), 0) AS INTEGER) AS waiting,
  count(CASE WHEN d.owner IS NOT NULL AND d.until > sqlc.arg(now) THEN 1 END) AS leases,
  count(CASE WHEN d.wanted = 1 AND d.until <= sqlc.arg(now) AND d.resume_at <= sqlc.arg(now)
    AND (i.enabled = 1 OR i.deleted_at IS NOT NULL) THEN 1 END) AS unattended,
  count(CASE WHEN d.wanted = 1 AND d.until <= sqlc.arg(now) AND d.resume_at <= sqlc.arg(now) AND d.owner IS NOT NULL
    AND (i.enabled = 1 OR i.deleted_at IS NOT NULL) THEN 1 END) AS stale,
  count(CASE WHEN d.away = 1 AND i.deleted_at IS NULL THEN 1 END) AS away,
  (SELECT count(*) FROM tasks t WHERE t.status = 0 AND t.deadline < sqlc.arg(now) - 10000
    AND (t.deadline > 0 OR NOT EXISTS (SELECT 1 FROM drains h WHERE h.integration = t.integration AND h.until > sqlc.arg(now) - 10000))
  ) AS overdue
FROM drains d JOIN integrations i ON i.seq = d.integration;

-- name: OldestPending :one
-- They are numbered as they are accepted, and the ended ones are among them: each integration's first is looked up.
SELECT CAST(coalesce(min(t.created_at), 0) AS INTEGER) AS created_at FROM drains d JOIN tasks t
  ON t.seq = (SELECT p.seq FROM tasks p WHERE p.integration = d.integration AND p.status = 0 ORDER BY p.seq LIMIT 1);

-- name: KeepMasterKey :exec
INSERT INTO master_key (one, id, evidence) VALUES (1, ?, ?) ON CONFLICT (one) DO NOTHING;

-- name: MasterKey :one
SELECT id, evidence FROM master_key;

-- name: NoteMasterKey :exec
INSERT INTO master_key (one, id, evidence) VALUES (1, sqlc.arg(id), sqlc.arg(evidence))
ON CONFLICT (one) DO UPDATE SET id = excluded.id, evidence = excluded.evidence;

-- name: NthSkill :one
SELECT origin_id FROM skills WHERE integration = sqlc.arg(integration) AND origin_id > sqlc.arg(after)
ORDER BY origin_id LIMIT 1 OFFSET sqlc.arg(n);

-- name: DoubtSkillsUpTo :execrows
UPDATE skills SET hash = NULL, unsure = 1
WHERE integration = sqlc.arg(integration) AND origin_id > sqlc.arg(after) AND origin_id <= sqlc.arg(last);

-- name: DoubtSkillsAfter :execrows
UPDATE skills SET hash = NULL, unsure = 1 WHERE integration = sqlc.arg(integration) AND origin_id > sqlc.arg(after);

-- name: RevokeLease :exec
-- Its holder is refused from now on; the next one waits until it has run out, since a call may be under way.
UPDATE drains SET epoch = epoch + 1 WHERE integration = sqlc.arg(integration);

-- name: IntegrationRef :one
SELECT seq FROM integrations WHERE id = sqlc.arg(id);
