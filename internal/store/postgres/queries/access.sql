-- name: KeyByID :one
SELECT id, environment_id, name, prefix, created_at, revoked_at, scopes, addresses, created_by, expires_at, last_used_at, last_used_from,
  coalesce(expires_at <= clock(), false)::boolean AS expired FROM api_keys
WHERE id = @id AND environment_id = @environment;

-- name: ExpireKey :one
UPDATE api_keys SET expires_at = least(expires_at, clock() + @lives::interval)
WHERE id = @id AND environment_id = @environment
RETURNING id, environment_id, name, prefix, created_at, revoked_at, scopes, addresses, created_by, expires_at, last_used_at, last_used_from,
  coalesce(expires_at <= clock(), false)::boolean AS expired;

-- name: NoteKeysUsed :exec
-- In the order of the ids: two processes that note the same keys do not meet head-on.
UPDATE api_keys SET last_used_at = greatest(api_keys.last_used_at, clock() - u.ago), last_used_from = u.address
FROM (SELECT unnest(@ids::text[]) AS id, unnest(@agos::interval[]) AS ago, unnest(@addresses::text[]) AS address ORDER BY 1) u
WHERE api_keys.id = u.id;

-- name: RenameEnvironment :one
UPDATE environments SET name = @name WHERE id = @id AND erased_at IS NULL RETURNING *;

-- name: LockEnvironment :one
SELECT id FROM environments WHERE id = @id AND erased_at IS NULL FOR UPDATE;

-- name: EnvironmentInUse :one
SELECT (EXISTS (SELECT 1 FROM integrations WHERE integrations.environment_id = @id)
  OR EXISTS (SELECT 1 FROM api_keys WHERE api_keys.environment_id = @id AND revoked_at IS NULL))::boolean AS in_use;

-- name: DeleteKeysOf :exec
DELETE FROM api_keys WHERE environment_id = @environment;

-- name: DeleteEnvironment :execrows
DELETE FROM environments WHERE id = @id AND erased_at IS NULL;

-- name: LockUsers :exec
-- Whoever makes a first user, or takes an owner away, does so alone.
SELECT pg_advisory_xact_lock(@key::bigint);

-- name: InsertUser :one
INSERT INTO users (id, name, role, password, created_at) VALUES (@id, @name, @role, @password, clock()) RETURNING *;

-- name: Users :many
SELECT * FROM users ORDER BY name;

-- name: UserByID :one
SELECT * FROM users WHERE id = @id;

-- name: UserByName :one
SELECT * FROM users WHERE name = @name;

-- name: AnyUser :one
SELECT EXISTS (SELECT 1 FROM users) AS there;

-- name: OtherOwner :one
SELECT EXISTS (SELECT 1 FROM users WHERE role = 3 AND id <> @id) AS there;

-- name: SetUserPassword :one
UPDATE users SET password = @password, generation = generation + 1 WHERE id = @id RETURNING *;

-- name: SetUserRole :one
UPDATE users SET role = @role WHERE id = @id RETURNING *;

-- name: EndSessions :one
UPDATE users SET generation = generation + 1 WHERE id = @id RETURNING *;

-- name: NoteSignIn :exec
UPDATE users SET signed_in_at = clock() WHERE id = @id;

-- name: DeleteUser :execrows
DELETE FROM users WHERE id = @id;

-- name: IdentityUser :one
SELECT user_id FROM identities WHERE issuer = @issuer AND subject = @subject;

-- name: LinkIdentity :execrows
-- One that is a living user's stays that user's.
INSERT INTO identities (issuer, subject, user_id, linked_at) VALUES (@issuer, @subject, @user_id, clock())
ON CONFLICT (issuer, subject) DO UPDATE SET user_id = excluded.user_id, linked_at = excluded.linked_at
WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.id = identities.user_id);

-- name: InsertSetupLink :exec
INSERT INTO setup_links (hash, expires_at) VALUES (@hash, clock() + @lives::interval);

-- name: SetupLinkGood :one
SELECT EXISTS (SELECT 1 FROM setup_links WHERE hash = @hash AND expires_at > clock()) AS good;

-- name: DeleteSetupLinks :exec
DELETE FROM setup_links;

-- name: Session :one
SELECT data FROM sessions WHERE token = @token AND expires_at > clock();

-- name: KeepSession :exec
INSERT INTO sessions (token, data, expires_at) VALUES (@token, @data, clock() + @lives::interval)
ON CONFLICT (token) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at;

-- name: DropSession :exec
DELETE FROM sessions WHERE token = @token;

-- name: CountAttempts :many
SELECT (SELECT count(*) FROM sign_in_attempts a WHERE a.subject = u.subject AND a.at > clock() - @within::interval)::bigint AS attempts
FROM unnest(@subjects::text[]) WITH ORDINALITY AS u (subject, n) ORDER BY u.n;

-- name: AddAttempts :exec
INSERT INTO sign_in_attempts (subject, at) SELECT unnest(@subjects::text[]), clock();

-- name: ForgetAttempts :exec
DELETE FROM sign_in_attempts WHERE subject = @subject;

-- name: InsertAudit :one
INSERT INTO audit (id, environment_id, at, user_id, user_name, address, action, target, detail)
VALUES (@id, @environment_id, clock(), @user_id, @user_name, @address, @action, @target, @detail) RETURNING at;

-- name: FailAudit :exec
UPDATE audit SET failed = @failed WHERE id = @id;

-- name: Audit :many
SELECT * FROM audit WHERE id < @before ORDER BY id DESC LIMIT @most;

-- name: AuditOf :many
SELECT * FROM audit WHERE environment_id = @environment AND id < @before ORDER BY id DESC LIMIT @most;

-- name: DropAudit :execrows
DELETE FROM audit WHERE id IN (SELECT a.id FROM audit a WHERE a.id < @before ORDER BY a.id LIMIT @most);

-- name: DropSessions :execrows
DELETE FROM sessions WHERE token IN (SELECT s.token FROM sessions s WHERE s.expires_at <= clock() LIMIT @most FOR UPDATE SKIP LOCKED);

-- name: DropAttempts :execrows
DELETE FROM sign_in_attempts WHERE at <= clock() - @keep::interval;

-- name: DropSetupLinks :execrows
DELETE FROM setup_links WHERE expires_at <= clock();
