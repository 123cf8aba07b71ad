import { sql, type RawBuilder } from 'kysely';
import type { PageQuestion } from '../database.ts';
import type { BudgetRow, KeyRow, LimitColumns, TeamRow, UserRow } from '../rows.ts';

/** How one kind of row is kept: its table, its id, its columns. Only names that stand here ever become SQL; all values are parameters. */
export interface Entity<Row extends object> {
  readonly table: string;
  readonly id: string & keyof Row;
  readonly columns: readonly (string & keyof Row)[];
  /** Columns of type jsonb. */
  readonly json: ReadonlySet<string>;
}

const LIMITS = ['max_budget', 'soft_budget', 'budget_duration', 'max_parallel_requests', 'tpm_limit', 'rpm_limit'] as const satisfies (keyof LimitColumns)[];

export const keys: Entity<KeyRow> = {
  table: 'virtual_keys', id: 'token',
  columns: ['token', 'key_name', 'key_alias', ...LIMITS, 'spend', 'budget_reset_at', 'model_max_budget', 'model_rpm_limit', 'model_tpm_limit', 'models', 'aliases', 'metadata', 'permissions',
    'config', 'allowed_routes', 'tags', 'user_id', 'team_id', 'budget_id', 'blocked', 'expires', 'created_at', 'updated_at', 'created_by', 'updated_by'],
  json: new Set(['model_max_budget', 'model_rpm_limit', 'model_tpm_limit', 'models', 'aliases', 'metadata', 'permissions', 'config', 'allowed_routes', 'tags']),
};

export const teams: Entity<TeamRow> = {
  table: 'teams', id: 'team_id',
  columns: ['team_id', 'team_alias', ...LIMITS, 'models', 'aliases', 'metadata', 'members_with_roles', 'model_max_budget', 'spend', 'budget_reset_at', 'blocked', 'created_at', 'updated_at'],
  json: new Set(['models', 'aliases', 'metadata', 'members_with_roles', 'model_max_budget']),
};

export const users: Entity<UserRow> = {
  table: 'users', id: 'user_id',
  columns: ['user_id', 'user_email', 'user_alias', 'user_role', ...LIMITS, 'models', 'metadata', 'teams', 'spend', 'budget_reset_at', 'created_at', 'updated_at'],
  json: new Set(['models', 'metadata', 'teams']),
};

export const budgets: Entity<BudgetRow> = {
  table: 'budgets', id: 'budget_id',
  columns: ['budget_id', ...LIMITS, 'model_max_budget', 'created_at', 'updated_at', 'created_by', 'updated_by'],
  json: new Set(['model_max_budget']),
};

export function tableOf<Row extends object>(entity: Entity<Row>): RawBuilder<unknown> {
  return sql.table(`pointsman.${entity.table}`);
}

export function columnsOf<Row extends object>(entity: Entity<Row>): RawBuilder<unknown> {
  return sql.join(entity.columns.map((column) => sql.ref(column)));
}

export function insertRow<Row extends object>(entity: Entity<Row>, row: Row): RawBuilder<Row> {
  return sql<Row>`INSERT INTO ${tableOf(entity)} (${columnsOf(entity)}) VALUES (${sql.join(entity.columns.map((column) => valueOf(entity, column, row)))}) RETURNING ${columnsOf(entity)}`;
}

/** Changes the named columns; `updated_at` always moves, so that replicas hear of it whatever was changed. */
export function updateRow<Row extends object>(entity: Entity<Row>, id: string, change: Partial<Row>): RawBuilder<Row> {
  const named = entity.columns.filter((column) => column !== 'created_at' && column !== entity.id && Object.hasOwn(change, column) && change[column] !== undefined);
  const set = named.map((column) => sql`${sql.ref(column)} = ${valueOf(entity, column, change)}`);
  if (!named.some((column) => column === 'updated_at')) set.push(sql`updated_at = now()`);
  return sql<Row>`UPDATE ${tableOf(entity)} SET ${sql.join(set)} WHERE ${sql.ref(entity.id)} = ${id} RETURNING ${columnsOf(entity)}`;
}

export function findRow<Row extends object>(entity: Entity<Row>, column: string & keyof Row, value: string): RawBuilder<Row> {
  return sql<Row>`SELECT ${columnsOf(entity)} FROM ${tableOf(entity)} WHERE ${sql.ref(column)} = ${value}`;
}

/** Rows that go, in the order of their ids: the order in which everybody takes row locks. */
export function lockRows<Row extends object>(entity: Entity<Row>, where: RawBuilder<unknown>): RawBuilder<Row> {
  return sql<Row>`SELECT ${columnsOf(entity)} FROM ${tableOf(entity)} WHERE ${where} ORDER BY ${sql.ref(entity.id)} FOR UPDATE`;
}

export function deleteRows<Row extends object>(entity: Entity<Row>, ids: readonly string[]): RawBuilder<unknown> {
  return sql`DELETE FROM ${tableOf(entity)} WHERE ${sql.ref(entity.id)} = ANY (${ids}::text[])`;
}

export interface PageQueries<Row> {
  readonly rows: RawBuilder<Row>;
  readonly total: RawBuilder<{ total: number }>;
}

export function pageOf<Row extends object>(entity: Entity<Row>, conditions: readonly RawBuilder<unknown>[], page: PageQuestion): PageQueries<Row> {
  const where = conditions.length === 0 ? sql`` : sql`WHERE ${sql.join(conditions, sql` AND `)}`;
  return {
    rows: sql<Row>`SELECT ${columnsOf(entity)} FROM ${tableOf(entity)} ${where} ORDER BY created_at DESC, ${sql.ref(entity.id)} ${limitOf(page)}`,
    total: sql<{ total: number }>`SELECT count(*) AS total FROM ${tableOf(entity)} ${where}`,
  };
}

/** `LIMIT … OFFSET …` of a page; what is out of bounds is drawn in, so that nobody can ask for everything. */
export function limitOf({ page, size }: PageQuestion): RawBuilder<unknown> {
  const rows = Math.min(Math.max(Math.trunc(size) || 1, 1), 500);
  const skip = (Math.min(Math.max(Math.trunc(page) || 1, 1), 1_000_000) - 1) * rows;
  return sql`LIMIT ${rows} OFFSET ${skip}`;
}

function valueOf<Row extends object>(entity: Entity<Row>, column: string & keyof Row, row: Partial<Row>): RawBuilder<unknown> {
  const value: unknown = row[column] ?? null;
  return entity.json.has(column) && value !== null ? sql`${JSON.stringify(value)}::jsonb` : sql`${value}`;
}
