-- name: Interaction :one
SELECT id, environment, integration, task, start, stop, outbound, failed, status, took, api_key, peer, method, url, exchange
FROM interactions WHERE id = sqlc.arg(id);

-- name: RemoveInteractions :execrows
DELETE FROM interactions WHERE seq IN (SELECT i.seq FROM interactions i WHERE i.id < sqlc.arg(before) ORDER BY i.id LIMIT sqlc.arg(most));
