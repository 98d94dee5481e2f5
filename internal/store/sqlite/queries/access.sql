-- name: KeyByID :one
SELECT id, environment_id, name, prefix, created_at, revoked_at, scopes, addresses, created_by, expires_at, last_used_at, last_used_from FROM api_keys
WHERE id = sqlc.arg(id) AND environment_id = sqlc.arg(environment);

-- name: ExpireKey :one
UPDATE api_keys SET expires_at = min(coalesce(expires_at, CAST(sqlc.arg(at) AS INTEGER)), CAST(sqlc.arg(at) AS INTEGER))
WHERE id = sqlc.arg(id) AND environment_id = sqlc.arg(environment)
RETURNING id, environment_id, name, prefix, created_at, revoked_at, scopes, addresses, created_by, expires_at, last_used_at, last_used_from;

-- name: NoteKeyUsed :exec
UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), CAST(sqlc.arg(at) AS INTEGER)), last_used_from = sqlc.arg(address)
WHERE id = sqlc.arg(id);

-- name: RenameEnvironment :one
UPDATE environments SET name = sqlc.arg(name) WHERE id = sqlc.arg(id) AND erased_at IS NULL RETURNING *;

-- name: EnvironmentInUse :one
SELECT EXISTS (SELECT 1 FROM integrations WHERE integrations.environment_id = sqlc.arg(id))
  OR EXISTS (SELECT 1 FROM api_keys WHERE api_keys.environment_id = sqlc.arg(id) AND revoked_at IS NULL) AS in_use;

-- name: DeleteKeysOf :exec
DELETE FROM api_keys WHERE environment_id = sqlc.arg(environment);

-- name: DeleteEnvironment :execrows
DELETE FROM environments WHERE id = sqlc.arg(id) AND erased_at IS NULL;

-- name: InsertUser :exec
INSERT INTO users (id, name, role, password, created_at) VALUES (?, ?, ?, ?, ?);

-- name: Users :many
SELECT * FROM users ORDER BY name;

-- name: UserByID :one
SELECT * FROM users WHERE id = sqlc.arg(id);

-- name: UserByName :one
SELECT * FROM users WHERE name = sqlc.arg(name);

-- name: AnyUser :one
SELECT EXISTS (SELECT 1 FROM users) AS there;

-- name: OtherOwner :one
SELECT EXISTS (SELECT 1 FROM users WHERE role = 3 AND id <> sqlc.arg(id)) AS there;

-- name: SetUserPassword :one
UPDATE users SET password = sqlc.arg(password), generation = generation + 1 WHERE id = sqlc.arg(id) RETURNING *;

-- name: SetUserRole :one
UPDATE users SET role = sqlc.arg(role) WHERE id = sqlc.arg(id) RETURNING *;

-- name: EndSessions :one
UPDATE users SET generation = generation + 1 WHERE id = sqlc.arg(id) RETURNING *;

-- name: NoteSignIn :exec
UPDATE users SET signed_in_at = sqlc.arg(now) WHERE id = sqlc.arg(id);

-- name: DeleteUser :execrows
DELETE FROM users WHERE id = sqlc.arg(id);

-- name: IdentityUser :one
SELECT user_id FROM identities WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject);

-- name: LinkIdentity :execrows
-- One that is a living user's stays that user's.
INSERT INTO identities (issuer, subject, user_id, linked_at) VALUES (?, ?, ?, ?)
ON CONFLICT (issuer, subject) DO UPDATE SET user_id = excluded.user_id, linked_at = excluded.linked_at
WHERE identities.user_id NOT IN (SELECT users.id FROM users);

-- name: InsertSetupLink :exec
INSERT INTO setup_links (hash, expires_at) VALUES (?, ?);

-- name: SetupLinkGood :one
SELECT EXISTS (SELECT 1 FROM setup_links WHERE hash = sqlc.arg(hash) AND expires_at > sqlc.arg(now)) AS good;

-- name: DeleteSetupLinks :exec
DELETE FROM setup_links;

-- name: Session :one
SELECT data FROM sessions WHERE token = sqlc.arg(token) AND expires_at > sqlc.arg(now);

-- name: KeepSession :exec
INSERT INTO sessions (token, data, expires_at) VALUES (?, ?, ?)
ON CONFLICT (token) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at;

-- name: DropSession :exec
DELETE FROM sessions WHERE token = sqlc.arg(token);

-- name: CountAttempts :one
SELECT count(*) FROM sign_in_attempts WHERE subject = sqlc.arg(subject) AND at > sqlc.arg(since);

-- name: AddAttempt :exec
INSERT INTO sign_in_attempts (subject, at) VALUES (?, ?);

-- name: ForgetAttempts :exec
DELETE FROM sign_in_attempts WHERE subject = sqlc.arg(subject);

-- name: InsertAudit :exec
INSERT INTO audit (id, environment_id, at, user_id, user_name, address, action, target, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: FailAudit :exec
UPDATE audit SET failed = sqlc.arg(failed) WHERE id = sqlc.arg(id);

-- name: Audit :many
SELECT * FROM audit WHERE id < sqlc.arg(before) ORDER BY id DESC LIMIT sqlc.arg(most);

-- name: AuditOf :many
SELECT * FROM audit WHERE environment_id = sqlc.arg(environment) AND id < sqlc.arg(before) ORDER BY id DESC LIMIT sqlc.arg(most);

-- name: DropAudit :execrows
DELETE FROM audit WHERE id IN (SELECT a.id FROM audit a WHERE a.id < sqlc.arg(before) ORDER BY a.id LIMIT sqlc.arg(most));

-- name: DropSessions :execrows
DELETE FROM sessions WHERE token IN (SELECT s.token FROM sessions s WHERE s.expires_at <= sqlc.arg(now) LIMIT sqlc.arg(most));

-- name: DropAttempts :execrows
DELETE FROM sign_in_attempts WHERE rowid IN (SELECT a.rowid FROM sign_in_attempts a WHERE a.at <= sqlc.arg(before) LIMIT sqlc.arg(most));

-- name: DropSetupLinks :execrows
DELETE FROM setup_links WHERE expires_at <= sqlc.arg(now);
