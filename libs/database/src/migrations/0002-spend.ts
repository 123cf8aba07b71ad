/** The ledger: every finished request once, and the sums that budgets are held against. */
export const spend = {
  name: '0002-spend',
  sql: `
CREATE TABLE pointsman.spend_logs (
  id text PRIMARY KEY,
  request_id text NOT NULL, trace_id text NOT NULL, call_type text NOT NULL,
  api_key text NOT NULL, user_id text, team_id text, end_user text,
  requested_model text NOT NULL, model_group text NOT NULL, model text, model_id text, provider text,
  spend double precision NOT NULL,
  prompt_tokens bigint NOT NULL, completion_tokens bigint NOT NULL, total_tokens bigint NOT NULL, cached_tokens bigint NOT NULL, reasoning_tokens bigint NOT NULL,
  usage_estimated boolean NOT NULL, cache_hit boolean NOT NULL, stream boolean NOT NULL,
  status text NOT NULL, error_code text, tags text[] NOT NULL,
  start_time timestamptz NOT NULL, completion_start_time timestamptz, end_time timestamptz NOT NULL
);
CREATE INDEX spend_logs_start ON pointsman.spend_logs (start_time);
CREATE INDEX spend_logs_key ON pointsman.spend_logs (api_key, start_time);
CREATE INDEX spend_logs_user ON pointsman.spend_logs (user_id, start_time) WHERE user_id IS NOT NULL;
CREATE INDEX spend_logs_team ON pointsman.spend_logs (team_id, start_time) WHERE team_id IS NOT NULL;
CREATE INDEX spend_logs_request ON pointsman.spend_logs (request_id);

CREATE TABLE pointsman.model_spend (
  scope text NOT NULL CHECK (scope IN ('key', 'team')),
  id text NOT NULL,
  model text NOT NULL,
  spend double precision NOT NULL DEFAULT 0,
  -- When the running period began, and when it ends; null until there is a budget with a duration for this model.
  period_start timestamptz, reset_at timestamptz,
  PRIMARY KEY (scope, id, model)
) WITH (fillfactor = 80);

-- One batch of the ledger: stores the lines that are new and adds them, and only them, to the sums. Returns how many were new.
-- One function, so that row locks are held for one round trip and not for several. Every replica does this at the same time, hence one order for all locks:
-- ids of lines, keys, teams, users, model sums, each in the order of their ids.
-- What was spent before the period of a key or team began belongs to the period that is over.
CREATE FUNCTION pointsman.record_spend(lines jsonb) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  the_keys text[]; the_teams text[]; the_users text[]; the_models text[]; the_amounts double precision[]; the_ends timestamptz[];
  added integer;
BEGIN
  WITH new AS (
    INSERT INTO pointsman.spend_logs AS l
    SELECT DISTINCT ON (x.id) x.id, coalesce(x.request_id, ''), coalesce(x.trace_id, ''), coalesce(x.call_type, ''), x.api_key, x.user_id, x.team_id, x.end_user,
      coalesce(x.requested_model, ''), coalesce(x.model_group, ''), x.model, x.model_id, x.provider, x.spend,
      coalesce(x.prompt_tokens, 0), coalesce(x.completion_tokens, 0), coalesce(x.total_tokens, 0), coalesce(x.cached_tokens, 0), coalesce(x.reasoning_tokens, 0),
      coalesce(x.usage_estimated, false), coalesce(x.cache_hit, false), coalesce(x.stream, false), coalesce(x.status, ''), x.error_code, coalesce(x.tags, '{}'),
      x.start_time, x.completion_start_time, x.end_time
    FROM jsonb_to_recordset(lines) AS x(
      id text, request_id text, trace_id text, call_type text, api_key text, user_id text, team_id text, end_user text, requested_model text, model_group text,
      model text, model_id text, provider text, spend double precision, prompt_tokens bigint, completion_tokens bigint, total_tokens bigint, cached_tokens bigint,
      reasoning_tokens bigint, usage_estimated boolean, cache_hit boolean, stream boolean, status text, error_code text, tags text[],
      start_time timestamptz, completion_start_time timestamptz, end_time timestamptz)
    ORDER BY x.id
    ON CONFLICT (id) DO NOTHING
    RETURNING l.api_key, l.team_id, l.user_id, l.model_group, l.spend, l.end_time
  )
  SELECT count(*), array_agg(coalesce(g.token, n.api_key)), array_agg(n.team_id), array_agg(n.user_id), array_agg(n.model_group), array_agg(n.spend), array_agg(n.end_time)
  INTO added, the_keys, the_teams, the_users, the_models, the_amounts, the_ends
  FROM new n LEFT JOIN pointsman.key_grace g ON g.old_token = n.api_key;
  IF added = 0 THEN RETURN 0; END IF;

  PERFORM 1 FROM pointsman.virtual_keys WHERE token = ANY (the_keys) ORDER BY token FOR NO KEY UPDATE;
  -- A key may have been rotated while this waited for its row.
  SELECT array_agg(coalesce(g.token, u.key) ORDER BY u.place) INTO the_keys
  FROM unnest(the_keys) WITH ORDINALITY AS u(key, place) LEFT JOIN pointsman.key_grace g ON g.old_token = u.key;
  UPDATE pointsman.virtual_keys k SET spend = k.spend + s.amount
  FROM (SELECT u.key, sum(u.amount) AS amount FROM unnest(the_keys, the_amounts, the_ends) AS u(key, amount, ended) JOIN pointsman.virtual_keys t ON t.token = u.key
    WHERE u.ended >= coalesce(t.period_start, '-infinity') GROUP BY u.key) s
  WHERE k.token = s.key AND s.amount <> 0;

  PERFORM 1 FROM pointsman.teams WHERE team_id = ANY (the_teams) ORDER BY team_id FOR NO KEY UPDATE;
  UPDATE pointsman.teams o SET spend = o.spend + s.amount
  FROM (SELECT u.team, sum(u.amount) AS amount FROM unnest(the_teams, the_amounts, the_ends) AS u(team, amount, ended) JOIN pointsman.teams t ON t.team_id = u.team
    WHERE u.ended >= coalesce(t.period_start, '-infinity') GROUP BY u.team) s
  WHERE o.team_id = s.team AND s.amount <> 0;

  PERFORM 1 FROM pointsman.users WHERE user_id = ANY (the_users) ORDER BY user_id FOR NO KEY UPDATE;
  UPDATE pointsman.users o SET spend = o.spend + s.amount
  FROM (SELECT u.usr, sum(u.amount) AS amount FROM unnest(the_users, the_amounts, the_ends) AS u(usr, amount, ended) JOIN pointsman.users t ON t.user_id = u.usr
    WHERE u.ended >= coalesce(t.period_start, '-infinity') GROUP BY u.usr) s
  WHERE o.user_id = s.usr AND s.amount <> 0;

  PERFORM 1 FROM pointsman.model_spend m
  WHERE (m.scope = 'key' AND m.id = ANY (the_keys)) OR (m.scope = 'team' AND m.id = ANY (the_teams)) ORDER BY m.scope, m.id, m.model FOR NO KEY UPDATE;
  INSERT INTO pointsman.model_spend AS m (scope, id, model, spend, period_start)
  SELECT s.scope, s.id, s.model, sum(s.amount), min(s.ended)
  FROM (
    SELECT 'key' AS scope, u.key AS id, u.model, u.amount, u.ended FROM unnest(the_keys, the_models, the_amounts, the_ends) AS u(key, model, amount, ended)
      WHERE EXISTS (SELECT 1 FROM pointsman.virtual_keys k WHERE k.token = u.key)
    UNION ALL
    SELECT 'team', u.team, u.model, u.amount, u.ended FROM unnest(the_teams, the_models, the_amounts, the_ends) AS u(team, model, amount, ended)
      WHERE EXISTS (SELECT 1 FROM pointsman.teams t WHERE t.team_id = u.team)
  ) s LEFT JOIN pointsman.model_spend b ON b.scope = s.scope AND b.id = s.id AND b.model = s.model
  WHERE s.amount <> 0 AND (b.reset_at IS NULL OR s.ended >= b.period_start)
  GROUP BY s.scope, s.id, s.model
  ORDER BY s.scope, s.id, s.model
  ON CONFLICT (scope, id, model) DO UPDATE SET spend = m.spend + excluded.spend;
  RETURN added;
END $$;
`,
};
