import { AppError } from '@pointsman/errors';
import { sql } from 'kysely';
import { z } from 'zod';
import type { Connections } from './connections.ts';
import { RejectedRowsError, type AuditStore } from './database.ts';
import { isAboutTheData } from './sql-errors.ts';

/** What the table needs to know of a row; the rest is kept as it is. NUL is no character of Postgres. */
const placeSchema = z.object({ chain: z.string().min(1).max(512).refine((text) => !text.includes('\0')), seq: z.number().int().positive(), at: z.iso.datetime() });
type Place = z.infer<typeof placeSchema>;

/** A cursor is the number of the last row that was read. */
export function createAuditStore(connections: Connections): AuditStore {
  return {
    append: async (lines, signal) => {
      const places = lines.map(placeOf);
      const good = lines.flatMap((line, index) => {
        const place = places[index];
        return place === undefined ? [] : [{ line, ...place }];
      });
      let added = 0;
      try {
        if (good.length > 0) {
          // The text itself goes in, not what jsonb would make of it: the hash of the record is over its content, down to characters that jsonb refuses.
          const rows = await connections.transaction((session) => session.run(sql`
            INSERT INTO pointsman.audit_log (chain, seq, at, record)
            SELECT chain, seq, at, line::json
            FROM unnest(${good.map(({ chain }) => chain)}::text[], ${good.map(({ seq }) => seq)}::bigint[], ${good.map(({ at }) => at)}::timestamptz[], ${good.map(({ line }) => line)}::text[])
              WITH ORDINALITY AS given(chain, seq, at, line, place) ORDER BY place
            ON CONFLICT (chain, seq) DO NOTHING RETURNING arrival`), { signal });
          added = rows.length;
        }
      } catch (error) {
        if (!isAboutTheData(error)) throw error;
        throw new RejectedRowsError(`The audit log refuses these rows: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
      }
      const refused = lines.filter((_line, index) => places[index] === undefined);
      if (refused.length > 0) throw new RejectedRowsError(`${refused.length} of ${lines.length} lines are no audit rows.`, { lines: refused });
      return added;
    },
    read: async (cursor, limit, signal) => {
      if (cursor !== undefined && !/^\d{1,18}$/.test(cursor)) throw new AppError('invalid_request', 'invalid_cursor', 'This is not a cursor of the audit log.');
      const most = Math.min(Math.max(Math.trunc(limit) || 1, 1), 10_000);
      const rows = await connections.run(sql<{ arrival: number; record: unknown }>`
        SELECT arrival, record FROM pointsman.audit_log WHERE arrival > ${cursor ?? '0'}::bigint ORDER BY arrival LIMIT ${most}`, { signal });
      const last = rows.at(-1);
      return { rows: rows.map(({ record }) => record), cursor: last === undefined ? cursor : String(last.arrival) };
    },
  };
}

function placeOf(line: string): Place | undefined {
  try {
    return placeSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
