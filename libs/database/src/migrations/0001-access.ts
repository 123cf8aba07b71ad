/**
 * Keys, teams, users, budgets, and the journal of their changes. Everything of ours is in the schema `pointsman`: the database may be one that
 * other programs use, and `search_path` cannot be relied on behind a pooler.
 *
 * fillfactor 80: spend is added many times a second, and a page with room takes the new version of a row without touching any index.
 */
export const access = {
  name: '0001-access',
  sql: `
CREATE TABLE pointsman.budgets (
  budget_id text PRIMARY KEY,
  max_budget double precision, soft_budget double precision, budget_duration text,
  max_parallel_requests double precision, tpm_limit double precision, rpm_limit double precision,
  model_max_budget jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, created_by text, updated_by text
);

CREATE TABLE pointsman.teams (
  team_id text PRIMARY KEY,
  team_alias text,
  max_budget double precision, soft_budget double precision, budget_duration text,
  max_parallel_requests double precision, tpm_limit double precision, rpm_limit double precision,
  models jsonb NOT NULL DEFAULT '[]', aliases jsonb NOT NULL DEFAULT '{}', metadata jsonb NOT NULL DEFAULT '{}',
  members_with_roles jsonb NOT NULL DEFAULT '[]', model_max_budget jsonb NOT NULL DEFAULT '{}',
  spend double precision NOT NULL DEFAULT 0, budget_reset_at timestamptz, period_start timestamptz,
  blocked boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX teams_due ON pointsman.teams (budget_reset_at) WHERE budget_reset_at IS NOT NULL;

CREATE TABLE pointsman.users (
  user_id text PRIMARY KEY,
  user_email text, user_alias text, user_role text NOT NULL,
  max_budget double precision, soft_budget double precision, budget_duration text,
  max_parallel_requests double precision, tpm_limit double precision, rpm_limit double precision,
  models jsonb NOT NULL DEFAULT '[]', metadata jsonb NOT NULL DEFAULT '{}', teams jsonb NOT NULL DEFAULT '[]',
  spend double precision NOT NULL DEFAULT 0, budget_reset_at timestamptz, period_start timestamptz,
  created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX users_due ON pointsman.users (budget_reset_at) WHERE budget_reset_at IS NOT NULL;

CREATE TABLE pointsman.virtual_keys (
  token text PRIMARY KEY,
  key_name text NOT NULL,
  key_alias text CONSTRAINT virtual_keys_key_alias UNIQUE,
  max_budget double precision, soft_budget double precision, budget_duration text,
  max_parallel_requests double precision, tpm_limit double precision, rpm_limit double precision,
  spend double precision NOT NULL DEFAULT 0, budget_reset_at timestamptz, period_start timestamptz,
  model_max_budget jsonb NOT NULL DEFAULT '{}', model_rpm_limit jsonb NOT NULL DEFAULT '{}', model_tpm_limit jsonb NOT NULL DEFAULT '{}',
  models jsonb NOT NULL DEFAULT '[]', aliases jsonb NOT NULL DEFAULT '{}', metadata jsonb NOT NULL DEFAULT '{}',
  permissions jsonb NOT NULL DEFAULT '{}', config jsonb NOT NULL DEFAULT '{}', allowed_routes jsonb NOT NULL DEFAULT '[]', tags jsonb NOT NULL DEFAULT '[]',
  user_id text, team_id text, budget_id text,
  blocked boolean NOT NULL DEFAULT false, expires timestamptz,
  created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, created_by text, updated_by text
) WITH (fillfactor = 80);
CREATE INDEX virtual_keys_user ON pointsman.virtual_keys (user_id);
CREATE INDEX virtual_keys_team ON pointsman.virtual_keys (team_id);
CREATE INDEX virtual_keys_budget ON pointsman.virtual_keys (budget_id);
CREATE INDEX virtual_keys_created ON pointsman.virtual_keys (created_at);
CREATE INDEX virtual_keys_due ON pointsman.virtual_keys (budget_reset_at) WHERE budget_reset_at IS NOT NULL;

-- Hashes a key had before it was rotated. They authenticate until grace_until (never, when it is null), and spend that is still under way with them is the key's.
CREATE TABLE pointsman.key_grace (
  old_token text PRIMARY KEY,
  token text NOT NULL REFERENCES pointsman.virtual_keys (token) ON UPDATE CASCADE ON DELETE CASCADE,
  grace_until timestamptz
);
CREATE INDEX key_grace_token ON pointsman.key_grace (token);

-- The journal that replicas poll. The transaction's own number, held against the snapshot of the last poll, tells exactly what that poll could not see yet,
-- whichever order transactions end in. token null: more keys than are worth naming.
CREATE TABLE pointsman.access_changes (
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  token text,
  at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX access_changes_xid ON pointsman.access_changes (xid);

CREATE FUNCTION pointsman.announce_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN INSERT INTO pointsman.access_changes (token) VALUES (OLD.token); END IF;
  IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND NEW.token <> OLD.token) THEN INSERT INTO pointsman.access_changes (token) VALUES (NEW.token); END IF;
  IF TG_OP = 'UPDATE' THEN
    INSERT INTO pointsman.access_changes (token) SELECT old_token FROM pointsman.key_grace WHERE token IN (OLD.token, NEW.token) AND grace_until > now();
  END IF;
  RETURN NULL;
END $$;
-- Every column but spend: that one changes all the time and is nobody's news. A column added later belongs into a trigger like this one.
CREATE TRIGGER announce AFTER INSERT OR DELETE OR UPDATE OF
  token, key_name, key_alias, max_budget, soft_budget, budget_duration, max_parallel_requests, tpm_limit, rpm_limit, budget_reset_at, model_max_budget, model_rpm_limit,
  model_tpm_limit, models, aliases, metadata, permissions, config, allowed_routes, tags, user_id, team_id, budget_id, blocked, expires, updated_at
  ON pointsman.virtual_keys FOR EACH ROW EXECUTE FUNCTION pointsman.announce_key();

CREATE FUNCTION pointsman.announce_grace() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO pointsman.access_changes (token) VALUES (OLD.old_token);
  RETURN NULL;
END $$;
CREATE TRIGGER announce AFTER DELETE ON pointsman.key_grace FOR EACH ROW EXECUTE FUNCTION pointsman.announce_grace();

-- The keys of a team, user or budget: named while they are few. The column of virtual_keys is the trigger's argument, and the same name is the id of the table.
CREATE FUNCTION pointsman.announce_owner() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  owner_id text;
  owned text[];
BEGIN
  owner_id := CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END ->> TG_ARGV[0];
  EXECUTE format('SELECT array_agg(token) FROM (SELECT token FROM pointsman.virtual_keys WHERE %I = $1 LIMIT 101) AS few', TG_ARGV[0]) INTO owned USING owner_id;
  IF cardinality(owned) > 100 THEN
    INSERT INTO pointsman.access_changes (token) VALUES (NULL);
  ELSE
    INSERT INTO pointsman.access_changes (token)
      SELECT unnest(owned) UNION ALL SELECT old_token FROM pointsman.key_grace WHERE token = ANY (owned) AND grace_until > now();
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER announce AFTER INSERT OR DELETE OR UPDATE OF
  team_alias, max_budget, soft_budget, budget_duration, max_parallel_requests, tpm_limit, rpm_limit, models, aliases, metadata, members_with_roles, model_max_budget,
  budget_reset_at, blocked, updated_at
  ON pointsman.teams FOR EACH ROW EXECUTE FUNCTION pointsman.announce_owner('team_id');
CREATE TRIGGER announce AFTER INSERT OR DELETE OR UPDATE OF
  user_email, user_alias, user_role, max_budget, soft_budget, budget_duration, max_parallel_requests, tpm_limit, rpm_limit, models, metadata, teams, budget_reset_at, updated_at
  ON pointsman.users FOR EACH ROW EXECUTE FUNCTION pointsman.announce_owner('user_id');
CREATE TRIGGER announce AFTER INSERT OR DELETE OR UPDATE ON pointsman.budgets FOR EACH ROW EXECUTE FUNCTION pointsman.announce_owner('budget_id');
`,
};
