-- name: ShareEnvironment :one
-- Held until something was added to it: it is not erased meanwhile.
SELECT id FROM environments WHERE id = @id AND erased_at IS NULL FOR KEY SHARE;

-- name: EraseEnvironment :one
-- Its name may be given away again. To change it waits for those who share the row.
UPDATE environments SET erased_at = clock(), name = id WHERE id = @id AND erased_at IS NULL RETURNING id;

-- name: LockDrainsOfEnvironment :exec
SELECT 1 FROM drains WHERE integration IN (SELECT seq FROM integrations WHERE environment_id = @environment)
ORDER BY integration FOR NO KEY UPDATE;

-- name: EraseIntegrations :exec
-- Whoever drains is refused from now on; what it holds goes once the lease has run out.
WITH d AS (
  UPDATE drains SET epoch = epoch + 1, wanted = false
  WHERE drains.integration IN (SELECT i.seq FROM integrations i WHERE i.environment_id = @environment)
)
UPDATE integrations SET deleted_at = coalesce(integrations.deleted_at, clock()), credentials = NULL, settings = '{}'
WHERE integrations.environment_id = @environment;

-- name: EraseLinks :exec
WITH s AS (
  DELETE FROM connect_settings WHERE connect_settings.environment_id = @environment
)
DELETE FROM connect_links WHERE connect_links.environment_id = @environment;

-- name: ErasedEnvironments :many
SELECT id FROM environments WHERE erased_at IS NOT NULL ORDER BY erased_at;

-- name: LockErasedEnvironment :one
-- One process at a time.
SELECT id FROM environments WHERE id = @id AND erased_at IS NOT NULL FOR NO KEY UPDATE SKIP LOCKED;

-- name: ErasedIntegration :one
SELECT i.seq, i.id, (d.until > clock())::boolean AS leased FROM integrations i JOIN drains d ON d.integration = i.seq
WHERE i.environment_id = @environment ORDER BY (d.until > clock()), i.seq LIMIT 1;

-- name: EraseTasks :one
WITH t AS (
  DELETE FROM tasks WHERE tasks.seq = ANY (ARRAY(
    SELECT u.seq FROM tasks u WHERE u.integration BETWEEN @integration AND @integration ORDER BY u.integration, u.seq LIMIT @most
  )) RETURNING tasks.seq
), i AS (
  DELETE FROM task_items USING t WHERE task_items.task = t.seq
), o AS (
  DELETE FROM task_outcomes USING t WHERE task_outcomes.task = t.seq
), n AS (
  DELETE FROM intents USING t WHERE intents.integration = @integration AND intents.task = t.seq
)
SELECT count(*) FROM t;

-- name: EraseResults :execrows
DELETE FROM results WHERE results.id = ANY (ARRAY(
  SELECT r.id FROM results r WHERE r.integration = @integration ORDER BY r.id LIMIT @most
)) AND results.integration = @integration;

-- name: EraseSkills :execrows
WITH s AS (
  SELECT skills.origin_id FROM skills WHERE skills.integration = @integration ORDER BY skills.origin_id LIMIT @most
), w AS (
  DELETE FROM skill_words WHERE skill_words.integration = @integration AND skill_words.origin_id = ANY (ARRAY(SELECT s.origin_id FROM s))
)
DELETE FROM skills WHERE skills.integration = @integration AND skills.origin_id = ANY (ARRAY(SELECT s.origin_id FROM s));

-- name: EraseNames :exec
-- With what the search was about to take in: whoever did that has ended, since this waits for its lock.
WITH l AS (
  SELECT pg_advisory_xact_lock(hashtextextended('crosswalk skill_words ' || current_schema(), 0))
), u AS (
  DELETE FROM unsearched USING l WHERE unsearched.integration = @integration
)
DELETE FROM skill_words USING l WHERE skill_words.integration = @integration;

-- name: EraseRemoteSkills :execrows
DELETE FROM remote_skills WHERE remote_skills.integration = @integration AND remote_skills.remote_id = ANY (ARRAY(
  SELECT r.remote_id FROM remote_skills r WHERE r.integration = @integration ORDER BY r.remote_id LIMIT @most
));

-- name: EraseSyncSeen :execrows
DELETE FROM sync_seen WHERE sync_seen.integration = @integration AND sync_seen.page = ANY (ARRAY(
  SELECT p.page FROM sync_seen p WHERE p.integration = @integration LIMIT @most
));

-- name: EraseSandboxSkills :execrows
DELETE FROM sandbox_skills WHERE sandbox_skills.account = (SELECT a.seq FROM sandbox_accounts a WHERE a.name = @account)
  AND sandbox_skills.external_id = ANY (ARRAY(
    SELECT k.external_id FROM sandbox_skills k JOIN sandbox_accounts b ON b.seq = k.account WHERE b.name = @account ORDER BY k.external_id LIMIT @most
  ));

-- name: EraseSandboxAccount :exec
WITH s AS (
  DELETE FROM sandbox_scripts WHERE sandbox_scripts.account = (SELECT a.seq FROM sandbox_accounts a WHERE a.name = @account)
)
DELETE FROM sandbox_accounts WHERE sandbox_accounts.name = @account;

-- name: EraseSync :exec
DELETE FROM syncs WHERE integration = @integration;

-- name: EraseDrain :exec
DELETE FROM drains WHERE integration = @integration;

-- name: EraseIntegration :execrows
DELETE FROM integrations WHERE seq = @integration;

-- name: EraseInteractions :execrows
DELETE FROM interactions WHERE interactions.id = ANY (ARRAY(
  SELECT x.id FROM interactions x WHERE x.environment = @environment::text ORDER BY x.id LIMIT @most
)) AND interactions.environment = @environment::text;

-- name: ForgetEnvironment :execrows
DELETE FROM environments WHERE id = @id AND erased_at <= clock() - @after::interval;

-- name: LockRestingDrain :one
SELECT integration FROM drains WHERE integration = @integration AND until <= clock() FOR NO KEY UPDATE;
