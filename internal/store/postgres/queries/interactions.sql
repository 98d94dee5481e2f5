-- name: AppendInteractions :exec
INSERT INTO interactions (id, environment, integration, task, start, stop, outbound, failed, status, took, api_key, peer, method, url, exchange)
SELECT u.id, nullif(u.environment, ''), nullif(u.integration, ''), nullif(u.task, ''), u.start, u.stop, u.outbound, u.failed, u.status, u.took,
  nullif(u.api_key, ''), nullif(u.peer, ''), u.method, u.url, u.exchange
FROM (SELECT unnest(@ids::text[]) AS id, unnest(@environments::text[]) AS environment, unnest(@integrations::text[]) AS integration,
  unnest(@tasks::text[]) AS task, unnest(@starts::integer[]) AS start, unnest(@stops::integer[]) AS stop, unnest(@outbounds::boolean[]) AS outbound,
  unnest(@faileds::boolean[]) AS failed, unnest(@statuses::smallint[]) AS status, unnest(@tooks::bigint[]) AS took,
  unnest(@api_keys::text[]) AS api_key, unnest(@peers::text[]) AS peer, unnest(@methods::text[]) AS method, unnest(@urls::text[]) AS url,
  unnest(@exchanges::bytea[]) AS exchange) u
ON CONFLICT DO NOTHING;

-- name: Interaction :one
SELECT id, environment, integration, task, start, stop, outbound, failed, status, took, api_key, peer, method, url, exchange
FROM interactions WHERE id = @id AND (@environment::text = '' OR environment = @environment);

-- name: RemoveStrayInteractions :execrows
DELETE FROM interactions_default WHERE id IN (
  SELECT i.id FROM interactions_default i WHERE i.id < @before ORDER BY i.id LIMIT @most FOR UPDATE SKIP LOCKED
);
