-- name: SandboxAccount :one
SELECT seq FROM sandbox_accounts WHERE name = @name;

-- name: InsertSandboxAccount :exec
INSERT INTO sandbox_accounts (name) VALUES (@name) ON CONFLICT DO NOTHING;

-- name: NumberSandboxSkills :one
SELECT a.seq, clock()::timestamptz AS now,
  ARRAY(SELECT nextval('sandbox_skills_seq_seq') FROM generate_series(1, @rows::integer))::bigint[] AS numbers
FROM sandbox_accounts a WHERE a.name = @account;

-- name: WriteSandboxSkills :many
INSERT INTO sandbox_skills (account, updated_at, external_id, name, active)
SELECT a.seq, clock(), unnest(@external_ids::text[]), unnest(@names::text[]), unnest(@active::boolean[])
FROM sandbox_accounts a WHERE a.name = @account
ON CONFLICT (account, external_id) DO UPDATE SET
  updated_at = excluded.updated_at, name = excluded.name, active = excluded.active, writes = sandbox_skills.writes + 1
RETURNING external_id, seq;

-- name: SandboxHolders :many
SELECT s.name, s.external_id FROM sandbox_skills s
WHERE s.account = (SELECT a.seq FROM sandbox_accounts a WHERE a.name = @account) AND s.name = ANY (@names::text[]);

-- name: SandboxSkills :many
SELECT s.seq, s.external_id, s.name, s.active, s.writes FROM sandbox_skills s
WHERE s.account = (SELECT a.seq FROM sandbox_accounts a WHERE a.name = @account) AND s.seq > @after
ORDER BY s.seq LIMIT @most;

-- name: SandboxWindow :one
SELECT window_start, window_calls, clock()::timestamptz AS now FROM sandbox_accounts WHERE seq = @account FOR NO KEY UPDATE;

-- name: SetSandboxWindow :exec
UPDATE sandbox_accounts SET window_start = @window_start, window_calls = @window_calls WHERE seq = @account;

-- name: StepSandboxScripts :many
INSERT INTO sandbox_scripts (account, external_id, step)
SELECT @account, u.id, 1 FROM (SELECT unnest(@external_ids::text[]) AS id) u
ON CONFLICT (account, external_id) DO UPDATE SET step = sandbox_scripts.step + 1
RETURNING external_id, step;

-- name: SandboxPage :many
SELECT s.seq, s.external_id, s.name, s.active, s.writes FROM sandbox_skills s
WHERE s.account = (SELECT a.seq FROM sandbox_accounts a WHERE a.name = @account) AND s.external_id > @after
ORDER BY s.external_id LIMIT @most;

-- name: RemoveSandboxSkills :exec
DELETE FROM sandbox_skills s
WHERE s.account = (SELECT a.seq FROM sandbox_accounts a WHERE a.name = @account) AND s.external_id = ANY (@external_ids::text[]);
