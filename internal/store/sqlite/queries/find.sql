-- name: NoteNames :exec
INSERT INTO unsearched (integration, origin_ids) VALUES (?, ?);

-- name: DropUnsearched :exec
DELETE FROM unsearched WHERE seq = ?;

-- name: MoveUnsearched :exec
UPDATE unsearched SET origin_ids = sqlc.arg(origin_ids), after = sqlc.arg(after) WHERE seq = sqlc.arg(seq);
