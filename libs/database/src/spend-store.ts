import { AppError } from '@pointsman/errors';
import { sql, type RawBuilder } from 'kysely';
import { limitOf } from './access/entities.ts';
import type { Connections } from './connections.ts';
import { RejectedRowsError, type SpendFilter, type SpendLog, type SpendStore, type SpendSum } from './database.ts';
import { isAboutTheData, isCollision } from './sql-errors.ts';

const TRIES = 3;
/** A page of a ledger of hundreds of millions of rows must not count them all. */
const MOST_COUNTED = 100_000;

const COLUMNS = ['id', 'request_id', 'trace_id', 'call_type', 'api_key', 'user_id', 'team_id', 'end_user', 'requested_model', 'model_group', 'model', 'model_id', 'provider', 'spend',
  'prompt_tokens', 'completion_tokens', 'total_tokens', 'cached_tokens', 'reasoning_tokens', 'usage_estimated', 'cache_hit', 'stream', 'status', 'error_code', 'tags',
  'start_time', 'completion_start_time', 'end_time'] as const satisfies (keyof SpendLog)[];

/** `reports` are the connections of what reads much: none of them is one that the ledger is written with. */
export function createSpendStore(connections: Connections, reports: Connections): SpendStore {
  const report = <Row>(query: RawBuilder<Row>): Promise<Row[]> => reports.transaction((session) => session.run(query), { readOnly: true });

  async function add(lines: readonly string[], signal: AbortSignal | undefined): Promise<number> {
    // One parameter with one text: the lines are JSON already, and nothing in this process looks into them.
    const batch = `[${lines.join(',')}]`;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const [row] = await connections.transaction((session) => session.run(sql<{ added: number }>`SELECT pointsman.record_spend(${batch}::jsonb) AS added`), { signal });
        return row?.added ?? 0;
      } catch (error) {
        if (!isCollision(error) || attempt >= TRIES) throw error;
      }
    }
  }

  /** The lines one by one, to find those that are to blame: a fault must not take its neighbours with it. */
  async function addSingly(lines: readonly string[], signal: AbortSignal | undefined): Promise<number> {
    const refused: string[] = [];
    let reason: unknown;
    let added = 0;
    for (const line of lines) {
      try {
        added += await add([storable(line)], signal);
      } catch (error) {
        if (!(error instanceof SyntaxError) && !isAboutTheData(error)) throw error;
        refused.push(line);
        reason = error;
      }
    }
    if (refused.length > 0) throw new RejectedRowsError(`${refused.length} of ${lines.length} lines cannot be stored: ${String(reason).slice(0, 500)}`, { cause: reason, lines: refused });
    return added;
  }

  return {
    record: async (lines, signal) => {
      if (lines.length === 0) return 0;
      try {
        return await add(lines, signal);
      } catch (error) {
        if (!isAboutTheData(error)) throw error;
        return addSingly(lines, signal);
      }
    },
    logs: (filter, page) => reports.transaction(async (session) => {
      const where = whereOf(filter);
      const rows = await session.run(sql<SpendLog>`SELECT ${sql.join(COLUMNS.map((column) => sql.ref(column)))} FROM pointsman.spend_logs ${where} ORDER BY start_time DESC, id ${limitOf(page)}`);
      const [count] = await session.run(sql<{ total: number }>`SELECT count(*) AS total FROM (SELECT 1 FROM pointsman.spend_logs ${where} LIMIT ${MOST_COUNTED}) counted`);
      return { rows, total: count?.total ?? 0 };
    }, { readOnly: true }),
    sums: (by, filter, limit) => {
      const most = Math.min(Math.max(Math.trunc(limit) || 1, 1), 10_000);
      const of = by === 'tag' ? sql`tag` : sql.ref(by);
      const from = by === 'tag' ? sql`pointsman.spend_logs, unnest(tags) AS tag` : sql`pointsman.spend_logs`;
      return report(sql<SpendSum>`SELECT ${of} AS "of", sum(spend) AS spend, count(*) AS requests, sum(total_tokens) AS total_tokens FROM ${from} ${whereOf(filter, sql`${of} IS NOT NULL`)}
        GROUP BY ${of} ORDER BY sum(spend) DESC, ${of} LIMIT ${most}`);
    },
    total: async (filter) => {
      const [row] = await report(sql<{ spend: number; requests: number }>`SELECT coalesce(sum(spend), 0) AS spend, count(*) AS requests FROM pointsman.spend_logs ${whereOf(filter)}`);
      return row ?? { spend: 0, requests: 0 };
    },
  };
}

function whereOf(filter: SpendFilter, ...more: RawBuilder<unknown>[]): RawBuilder<unknown> {
  const conditions = [...more];
  // A rotated key keeps its history: what was spent with its old hashes is its own.
  if (filter.api_key !== undefined) conditions.push(sql`api_key IN (SELECT ${filter.api_key}::text UNION ALL SELECT old_token FROM pointsman.key_grace WHERE token = ${filter.api_key})`);
  if (filter.user_id !== undefined) conditions.push(sql`user_id = ${filter.user_id}`);
  if (filter.team_id !== undefined) conditions.push(sql`team_id = ${filter.team_id}`);
  if (filter.request_id !== undefined) conditions.push(sql`request_id = ${filter.request_id}`);
  if (filter.from !== undefined) conditions.push(sql`start_time >= ${validDate(filter.from)}`);
  if (filter.to !== undefined) conditions.push(sql`start_time < ${validDate(filter.to)}`);
  return conditions.length === 0 ? sql`` : sql`WHERE ${sql.join(conditions, sql` AND `)}`;
}

function validDate(date: Date): Date {
  if (Number.isNaN(date.getTime())) throw new AppError('invalid_request', 'invalid_value', 'This is not a date.');
  return date;
}

/**
 * What clients put into names may hold what no text of Postgres can: NUL, or half of a surrogate pair. The spend counts all the same; such characters become U+FFFD.
 * @throws SyntaxError for a line that is not JSON.
 */
function storable(line: string): string {
  return JSON.stringify(JSON.parse(line), (_key, value: unknown) => (typeof value === 'string' ? value.toWellFormed().replaceAll('\0', '\ufffd') : value));
}
