import { sql, type RawBuilder } from 'kysely';
import type { AccessChange, ChangeCursor } from '../database.ts';

/** Older cursors are answered with "forget all": the journal is not kept for ever. */
export const JOURNAL_S = 3_600;
/** More keys than this are not worth naming. */
const MOST_TOKENS = 1_000;

interface ChangesRow {
  readonly cursor: string;
  readonly lost: boolean;
  readonly tokens: (string | null)[] | null;
}

/**
 * Rows of the journal that the snapshot of the last poll could not see and this one can. A snapshot names the transactions that were under way when it was taken, so
 * one that began early and commits late is found by the poll after its commit, and nothing comes twice. See "System Information Functions": pg_snapshot.
 *
 * A cursor is `<seconds since 1970>/<pg_snapshot>`, both of the server.
 */
export function changesQuery(cursor: ChangeCursor | undefined): RawBuilder<ChangesRow> {
  const [, seconds, snapshot] = /^(\d{1,12})\/(\d+:\d+:[\d,]*)$/.exec(cursor ?? '') ?? [];
  const now = sql`floor(extract(epoch FROM now()))::bigint`;
  const next = sql`${now} || '/' || pg_current_snapshot()::text AS cursor`;
  if (seconds === undefined || snapshot === undefined) return sql<ChangesRow>`SELECT ${next}, ${cursor !== undefined}::boolean AS lost, NULL::jsonb AS tokens`;
  const since = sql`${snapshot}::pg_snapshot`;
  // A snapshot from the future is one of another server: a copy that was restored, or a failover that lost transactions.
  return sql<ChangesRow>`
SELECT ${next},
  ${now} - ${seconds}::bigint > ${JOURNAL_S} OR pg_snapshot_xmax(${since}) > pg_snapshot_xmax(pg_current_snapshot()) AS lost,
  (SELECT jsonb_agg(token) FROM (
    SELECT DISTINCT token FROM pointsman.access_changes
    WHERE xid >= pg_snapshot_xmin(${since}) AND NOT pg_visible_in_snapshot(xid, ${since}) LIMIT ${MOST_TOKENS + 1}
  ) changed) AS tokens`;
}

export function readChanges({ cursor, lost, tokens }: ChangesRow): { cursor: ChangeCursor; change: AccessChange | undefined } {
  if (lost) return { cursor, change: { tokens: undefined } };
  if (tokens === null) return { cursor, change: undefined };
  const named = tokens.filter((token) => token !== null);
  return { cursor, change: { tokens: named.length < tokens.length || named.length > MOST_TOKENS ? undefined : named } };
}

/** What no cursor that is still answered can need. */
export function pruneJournal(): RawBuilder<unknown> {
  return sql`DELETE FROM pointsman.access_changes WHERE at < now() - make_interval(secs => ${2 * JOURNAL_S})`;
}
