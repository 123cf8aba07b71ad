import { sql, type RawBuilder } from 'kysely';
import type { KeyAccess } from '../rows.ts';
import { budgets, keys, teams, users, type Entity } from './entities.ts';

/** One flat row: columns of the joined tables carry the prefix of their part. */
type AccessRow = Record<string, unknown> & { grace_until: Date | null; model_spend: { scope: 'key' | 'team'; model: string; spend: number; period_start: string | null }[] | null };

const PARTS = [['k', keys], ['t', teams], ['u', users], ['b', budgets]] as const;

function prefixed<Row extends object>(prefix: string, entity: Entity<Row>): RawBuilder<unknown> {
  return sql.join(entity.columns.map((column) => sql`${sql.ref(`${prefix}.${column}`)} AS ${sql.ref(`${prefix}_${column}`)}`));
}

const columns = sql.join(PARTS.map(([prefix, entity]) => prefixed(prefix, entity as Entity<object>)));

/** The key with this hash, or the one that had it before it was rotated, with all that its limits depend on. */
export function accessQuery(token: string): RawBuilder<AccessRow> {
  return sql<AccessRow>`
WITH asked AS (
  SELECT token, NULL::timestamptz AS grace_until, 1 AS choice FROM pointsman.virtual_keys WHERE token = ${token}
  UNION ALL
  SELECT token, grace_until, 2 FROM pointsman.key_grace WHERE old_token = ${token} AND grace_until > now()
  ORDER BY choice LIMIT 1
)
SELECT a.grace_until, ${columns}, (
  SELECT jsonb_agg(jsonb_build_object('scope', m.scope, 'model', m.model, 'spend', m.spend, 'period_start', m.period_start) ORDER BY m.scope, m.model)
  FROM pointsman.model_spend m WHERE (m.scope = 'key' AND m.id = k.token) OR (m.scope = 'team' AND m.id = k.team_id)
) AS model_spend
FROM asked a
JOIN pointsman.virtual_keys k ON k.token = a.token
LEFT JOIN pointsman.teams t ON t.team_id = k.team_id
LEFT JOIN pointsman.users u ON u.user_id = k.user_id
LEFT JOIN pointsman.budgets b ON b.budget_id = k.budget_id`;
}

export function readAccess(row: AccessRow): KeyAccess {
  const part = <Row extends object>(prefix: string, entity: Entity<Row>): Row | undefined =>
    row[`${prefix}_${entity.id}`] === null ? undefined : Object.fromEntries(entity.columns.map((column) => [column, row[`${prefix}_${column}`]])) as Row;
  const key = part('k', keys);
  if (key === undefined) throw new TypeError('A key without a token: the query joins on it.');
  return {
    key,
    team: part('t', teams),
    user: part('u', users),
    budget: part('b', budgets),
    model_spend: (row.model_spend ?? []).map((spent) => ({ ...spent, period_start: spent.period_start === null ? null : new Date(spent.period_start) })),
    grace_until: row.grace_until ?? undefined,
  };
}
