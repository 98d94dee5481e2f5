-- name: SandboxAccount :one
SELECT seq FROM sandbox_accounts WHERE name = ?;

-- name: InsertSandboxAccount :one
INSERT INTO sandbox_accounts (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING seq;

-- name: SandboxWindow :one
SELECT window_start, window_calls FROM sandbox_accounts WHERE seq = ?;

-- name: SetSandboxWindow :exec
UPDATE sandbox_accounts SET window_start = ?, window_calls = ? WHERE seq = ?;

-- name: NextSandboxSeq :one
SELECT CAST(coalesce(max(seq), 0) + 1 AS INTEGER) FROM sandbox_skills;

-- name: SandboxSkillSeq :one
SELECT seq FROM sandbox_skills WHERE account = ? AND external_id = ?;

-- name: SandboxSkills :many
SELECT s.seq, s.external_id, s.name, s.active, s.writes FROM sandbox_skills s
WHERE s.account = (SELECT a.seq FROM sandbox_accounts a WHERE a.name = sqlc.arg(account)) AND s.seq > sqlc.arg(after)
ORDER BY s.seq LIMIT sqlc.arg(most);

-- name: StepSandboxScript :one
INSERT INTO sandbox_scripts (account, external_id, step) VALUES (?, ?, 1)
ON CONFLICT (account, external_id) DO UPDATE SET step = step + 1
RETURNING step;

-- name: SandboxPage :many
SELECT s.seq, s.external_id, s.name, s.active, s.writes FROM sandbox_skills s
WHERE s.account = (SELECT a.seq FROM sandbox_accounts a WHERE a.name = sqlc.arg(account)) AND s.external_id > sqlc.arg(after)
ORDER BY s.external_id LIMIT sqlc.arg(most);

-- name: RemoveSandboxSkill :exec
DELETE FROM sandbox_skills WHERE account = sqlc.arg(account) AND external_id = sqlc.arg(external_id);
