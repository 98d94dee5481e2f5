-- name: NoteNames :exec
INSERT INTO unsearched (integration, origin_ids) VALUES (@integration, @origin_ids);

-- name: LockIndex :one
-- One process at a time takes names into the search: what it read last is what stays.
SELECT pg_try_advisory_xact_lock(hashtextextended('crosswalk skill_words ' || current_schema(), 0))::boolean AS locked;

-- name: Unsearched :many
SELECT seq, integration, origin_ids, after FROM unsearched ORDER BY seq LIMIT @most;

-- name: AnyUnsearched :one
SELECT EXISTS (SELECT 1 FROM unsearched)::boolean AS some;

-- name: NamesOf :many
SELECT s.integration, s.origin_id, s.name, i.environment_id
FROM (SELECT unnest(@refs::bigint[]) AS ref, unnest(@origin_ids::text[]) AS origin_id) u JOIN integrations i ON i.seq = u.ref CROSS JOIN LATERAL (
  SELECT skills.integration, skills.origin_id, skills.name FROM skills WHERE skills.integration = u.ref AND skills.origin_id = u.origin_id OFFSET 0
) s;

-- name: NamesBehind :many
SELECT s.integration, s.origin_id, s.name, i.environment_id FROM skills s JOIN integrations i ON i.seq = s.integration
WHERE s.integration = @integration AND s.origin_id > @after ORDER BY s.origin_id LIMIT @most;

-- name: IndexWords :exec
INSERT INTO skill_words (integration, origin_id, words)
SELECT unnest(@refs::bigint[]), unnest(@origin_ids::text[]), unnest(@words::text[])
ON CONFLICT (integration, origin_id) DO UPDATE SET words = excluded.words WHERE skill_words.words <> excluded.words;

-- name: DropUnsearched :exec
DELETE FROM unsearched WHERE seq = ANY (@seqs::bigint[]);

-- name: MoveUnsearched :exec
UPDATE unsearched SET origin_ids = @origin_ids, after = @after WHERE seq = @seq;
