import { createHash } from 'node:crypto';
import { AppError } from '@pointsman/errors';
import { sql } from 'kysely';
import { openConnections, type Connections } from '../connections.ts';
import { isBudgetDuration } from '../next-budget-reset.ts';
import type { BudgetRow, KeyRow, LimitColumns, ModelBudgets, TeamRow, UserRow } from '../rows.ts';

export type LiteLlmKind = 'budget' | 'team' | 'user' | 'key';

/** Something that is not taken, or taken otherwise than it stood there. `name` is an alias or id, of a key never more than the start of its hash. */
export interface LiteLlmNote {
  readonly kind: LiteLlmKind;
  readonly name: string;
  readonly reason: string;
}

export type LiteLlmEntry =
  & { readonly name: string; readonly notes: readonly LiteLlmNote[] }
  & ({ readonly kind: 'budget'; readonly row: BudgetRow } | { readonly kind: 'team'; readonly row: TeamRow } | { readonly kind: 'user'; readonly row: UserRow } | { readonly kind: 'key'; readonly row: KeyRow }
    | { readonly kind: 'refused'; readonly refusal: LiteLlmNote });

const TABLES: readonly { readonly kind: LiteLlmKind; readonly table: string; readonly id: string; readonly read: (source: Source, note: Note) => object }[] = [
  { kind: 'budget', table: 'LiteLLM_BudgetTable', id: 'budget_id', read: readBudget },
  { kind: 'team', table: 'LiteLLM_TeamTable', id: 'team_id', read: readTeam },
  { kind: 'user', table: 'LiteLLM_UserTable', id: 'user_id', read: readUser },
  { kind: 'key', table: 'LiteLLM_VerificationToken', id: 'token', read: readKey },
];
const BATCH = 500;
const USER_ROLES = new Set(['proxy_admin', 'proxy_admin_viewer', 'internal_user', 'internal_user_viewer']);
/** Its dashboard makes a key per login, in this team. */
const DASHBOARD_TEAM = 'litellm-dashboard';
/** What Prisma understands in a URL and PostgreSQL does not. */
const PRISMA_PARAMETERS = ['schema', 'connection_limit', 'pool_timeout', 'pgbouncer', 'socket_timeout', 'statement_cache_size', 'connect_timeout', 'sslaccept', 'sslidentity'];

/**
 * Reads budgets, teams, users and keys of a LiteLLM database, in this order, in the rows of ours. Any version: rows are read as JSON, so a column that an older
 * version does not have is just not there, and so is a table. Keys are stored there as the same SHA-256 as here, so they go on working.
 * @throws AppError `invalid_request` when it is not a LiteLLM database, `unavailable` when it cannot be reached.
 */
export async function* readLiteLlm(url: string, signal: AbortSignal): AsyncGenerator<LiteLlmEntry> {
  const { address, schema } = addressOf(url);
  const connections = openConnections({ url: address, applicationName: 'pointsman-import', poolSize: 1, queryTimeoutMs: 60_000 });
  try {
    const there = await existing(connections, schema, signal);
    if (!there.has('LiteLLM_VerificationToken')) throw new AppError('invalid_request', 'not_a_litellm_database', `There is no table "LiteLLM_VerificationToken" in the schema ${schema}: this is not a LiteLLM database.`);
    for (const { kind, table, id, read } of TABLES) {
      if (!there.has(table)) continue;
      let last = '';
      for (;;) {
        const rows = await connections.run(sql<{ id: string; row: Source }>`
          SELECT t.${sql.ref(id)} AS id, to_jsonb(t) AS row FROM ${sql.table(`${schema}.${table}`)} t WHERE t.${sql.ref(id)} COLLATE "C" > ${last} ORDER BY t.${sql.ref(id)} COLLATE "C" LIMIT ${BATCH}`, { signal });
        for (const { row } of rows) yield entryOf(kind, row, read);
        const next = rows.at(-1)?.id;
        if (next === undefined || rows.length < BATCH) break;
        last = next;
      }
    }
  } finally {
    await connections.close();
  }
}

type Source = Readonly<Record<string, unknown>>;
type Note = (reason: string) => void;
class NotTakenError extends Error {}

function entryOf(kind: LiteLlmKind, source: Source, read: (source: Source, note: Note) => object): LiteLlmEntry {
  const name = nameOf(kind, source);
  const notes: LiteLlmNote[] = [];
  try {
    const row = read(source, (reason) => notes.push({ kind, name, reason }));
    return { kind, name, notes, row } as unknown as LiteLlmEntry;
  } catch (error) {
    if (!(error instanceof NotTakenError)) throw error;
    return { kind: 'refused', name, notes, refusal: { kind, name, reason: error.message } };
  }
}

async function existing(connections: Connections, schema: string, signal: AbortSignal): Promise<Set<string>> {
  const rows = await connections.run(sql<{ table_name: string }>`SELECT table_name FROM information_schema.tables WHERE table_schema = ${schema} AND table_name LIKE 'LiteLLM%'`, { signal });
  return new Set(rows.map(({ table_name }) => table_name));
}

function addressOf(url: string): { address: string; schema: string } {
  const parsed = URL.parse(url);
  if (parsed === null || !/^postgres(ql)?:$/.test(parsed.protocol)) throw new AppError('invalid_request', 'invalid_database_url', 'The URL of the LiteLLM database must begin with postgres:// or postgresql://.');
  const schema = parsed.searchParams.get('schema') ?? 'public';
  for (const name of PRISMA_PARAMETERS) parsed.searchParams.delete(name);
  return { address: parsed.href, schema };
}

function readBudget(source: Source, note: Note): BudgetRow {
  return { budget_id: id(source['budget_id']), ...limits(source, note), model_max_budget: modelBudgets(source['model_max_budget'], note), ...times(source), created_by: text(source['created_by']), updated_by: text(source['updated_by']) };
}

function readTeam(source: Source, note: Note): TeamRow {
  const listed = [...list(source['admins']).map((user_id) => ({ user_id, role: 'admin' })), ...list(source['members']).map((user_id) => ({ user_id, role: 'user' }))];
  const given = Array.isArray(source['members_with_roles']) ? source['members_with_roles'] as unknown[] : [];
  const members = given.flatMap((member) => {
    const { user_id, role } = record(member);
    return typeof user_id === 'string' ? [{ user_id, role: role === 'admin' ? 'admin' : 'user' }] : [];
  });
  if (members.length < given.length) note(`${given.length - members.length} members without a user id are left out.`);
  return {
    team_id: id(source['team_id']), team_alias: text(source['team_alias']), ...limits(source, note), models: list(source['models']), aliases: {}, metadata: record(source['metadata']),
    members_with_roles: members.length > 0 ? members : listed.filter(({ user_id }, index) => listed.findIndex((other) => other.user_id === user_id) === index),
    model_max_budget: modelBudgets(source['model_max_budget'], note), ...spent(source), blocked: source['blocked'] === true, ...times(source),
  };
}

function readUser(source: Source, note: Note): UserRow {
  const role = text(source['user_role']) ?? 'internal_user';
  if (!USER_ROLES.has(role)) note(`The role ${role} is unknown; it becomes internal_user_viewer.`);
  return {
    user_id: id(source['user_id']), user_email: text(source['user_email']), user_alias: text(source['user_alias']), user_role: USER_ROLES.has(role) ? role : 'internal_user_viewer', ...limits(source, note),
    models: list(source['models']), metadata: record(source['metadata']), teams: list(source['teams']), ...spent(source), ...times(source),
  };
}

function readKey(source: Source, note: Note): KeyRow {
  if (source['team_id'] === DASHBOARD_TEAM) throw new NotTakenError('It is a login of the LiteLLM dashboard.');
  // Model limits and tags of a key are columns here and entries of the metadata there.
  const { model_rpm_limit, model_tpm_limit, tags, ...metadata } = record(source['metadata']);
  return {
    token: hashOf(source['token']), key_name: text(source['key_name']) ?? 'sk-...', key_alias: text(source['key_alias']), ...limits(source, note), ...spent(source),
    model_max_budget: modelBudgets(source['model_max_budget'], note), model_rpm_limit: numbers(model_rpm_limit), model_tpm_limit: numbers(model_tpm_limit), models: list(source['models']),
    aliases: texts(source['aliases']), metadata, permissions: record(source['permissions']), config: record(source['config']), allowed_routes: list(source['allowed_routes']), tags: list(tags),
    user_id: text(source['user_id']), team_id: text(source['team_id']), budget_id: text(source['budget_id']), blocked: source['blocked'] === true, expires: date(source['expires']), ...times(source),
    created_by: text(source['created_by']), updated_by: text(source['updated_by']),
  };
}

function nameOf(kind: LiteLlmKind, source: Source): string {
  const alias = text(source[{ budget: 'budget_id', team: 'team_alias', user: 'user_email', key: 'key_alias' }[kind]]);
  if (alias !== null) return alias;
  return kind === 'key' ? `${text(source['key_name']) ?? 'key'} (${createHash('sha256').update(String(source['token'])).digest('hex').slice(0, 8)})` : text(source[`${kind}_id`]) ?? kind;
}

/** Very old versions kept keys themselves. */
function hashOf(token: unknown): string {
  const value = id(token);
  if (/^[0-9a-f]{64}$/.test(value)) return value;
  if (value.startsWith('sk-')) return createHash('sha256').update(value).digest('hex');
  throw new NotTakenError('Its token is no SHA-256.');
}

function id(value: unknown): string {
  const found = text(value);
  if (found === null || found.length > 512) throw new NotTakenError('Its id is empty or longer than 512 characters.');
  return found;
}

function limits(source: Source, note: Note): LimitColumns {
  const duration = text(source['budget_duration']);
  const known = duration === null || isBudgetDuration(duration);
  if (!known) note(`The budget duration ${duration.slice(0, 40)} is unknown: the budget has no period.`);
  return {
    max_budget: number(source['max_budget']), soft_budget: number(source['soft_budget']), budget_duration: known ? duration : null,
    max_parallel_requests: number(source['max_parallel_requests']), tpm_limit: number(source['tpm_limit']), rpm_limit: number(source['rpm_limit']),
  };
}

/** `{"gpt-4o": {"budget_limit": 5, "time_period": "1d"}}`, the same with our names, or a bare number. */
function modelBudgets(value: unknown, note: Note): ModelBudgets {
  const entries = Object.entries(record(value)).flatMap(([model, budget]): [string, ModelBudgets[string]][] => {
    const given = record(budget);
    const max_budget = number(budget) ?? number(given['max_budget']) ?? number(given['budget_limit']);
    const duration = text(given['budget_duration']) ?? text(given['time_period']);
    if (max_budget === null || max_budget < 0) {
      note(`The budget of the model ${model.slice(0, 100)} is no number and is left out.`);
      return [];
    }
    if (duration !== null && !isBudgetDuration(duration)) note(`The budget duration of the model ${model.slice(0, 100)} is unknown: it has no period.`);
    return [[model, { max_budget, budget_duration: duration !== null && isBudgetDuration(duration) ? duration : null }]];
  });
  return Object.fromEntries(entries);
}

function spent(source: Source): { spend: number; budget_reset_at: Date | null } {
  return { spend: number(source['spend']) ?? 0, budget_reset_at: date(source['budget_reset_at']) };
}

function times(source: Source): { created_at: Date; updated_at: Date } {
  const created_at = date(source['created_at']) ?? new Date();
  return { created_at, updated_at: date(source['updated_at']) ?? created_at };
}

/** Prisma's timestamps have no zone and mean UTC. */
function date(value: unknown): Date | null {
  if (typeof value !== 'string') return null;
  const parsed = new Date(/(Z|[+-]\d\d(:?\d\d)?)$/.test(value) ? value : `${value}Z`);
  return Number.isNaN(parsed.getTime()) ? null : parsed;
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function list(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : {};
}

function numbers(value: unknown): Record<string, number> {
  return Object.fromEntries(Object.entries(record(value)).filter((entry): entry is [string, number] => typeof entry[1] === 'number'));
}

function texts(value: unknown): Record<string, string> {
  return Object.fromEntries(Object.entries(record(value)).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}
