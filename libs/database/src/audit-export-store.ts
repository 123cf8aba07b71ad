import { sql, type RawBuilder } from 'kysely';
import type { AuditExportStore, ExportChain, ExportedChain, ExportManifest, ExportPart, ExportRow, StoredExportPart } from './audit-exports.ts';
import type { Connections } from './connections.ts';
import { AlreadyExistsError } from './database.ts';
import { sqlStateOf } from './sql-errors.ts';

const MOST_ROWS = 10_000;
const ROW = sql`l.arrival, l.chain, l.seq, to_char(l.at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, l.record::text AS line`;
const PART = sql`part_key, number, to_char(day, 'YYYY-MM-DD') AS day, arrivals, first_id, first_hash, last_id, last_hash, rows, bytes, sha256, chains`;
const MANIFEST = sql`sequence, to_char(day, 'YYYY-MM-DD') AS day, number, manifest_key, sha256, body, signature`;

interface PartColumns extends Omit<StoredExportPart, 'key' | 'first' | 'last' | 'arrivals'> {
  readonly part_key: string;
  /** Arrays of bigint come as texts. */
  readonly arrivals: readonly (string | number)[];
  readonly first_id: string;
  readonly first_hash: string;
  readonly last_id: string;
  readonly last_hash: string;
}

interface ManifestColumns extends Pick<ExportManifest, 'sequence' | 'day' | 'number' | 'sha256'> {
  readonly manifest_key: string;
  readonly body: string | null;
  readonly signature: Buffer | null;
}

export function createAuditExportStore(connections: Connections): AuditExportStore {
  const parts = async (rest: RawBuilder<unknown>, signal: AbortSignal | undefined): Promise<readonly StoredExportPart[]> => (await connections.run(sql<PartColumns>`SELECT ${PART} FROM pointsman.audit_exports ${rest}`, { signal })).map(partOf);
  const manifests = async (rest: RawBuilder<unknown>, signal: AbortSignal | undefined): Promise<readonly ExportManifest[]> => (await connections.run(sql<ManifestColumns>`SELECT ${MANIFEST} FROM pointsman.audit_export_manifests ${rest}`, { signal })).map(manifestOf);
  const done = async (statement: RawBuilder<unknown>, signal: AbortSignal | undefined): Promise<boolean> => (await connections.run(statement, { signal })).length > 0;
  const lastManifest: AuditExportStore['lastManifest'] = async (day, signal) => (day === undefined
    ? await manifests(sql`ORDER BY sequence DESC LIMIT 1`, signal)
    : await manifests(sql`WHERE day = ${day}::date ORDER BY number DESC LIMIT 1`, signal))[0];

  return {
    position: async (signal) => {
      const [row] = await connections.run(sql<{ arrival: number; version: number }>`SELECT arrival, version FROM pointsman.audit_export_position`, { signal });
      return row ?? { arrival: 0, version: 0 };
    },
    rowsAfter: (arrival, limit, signal) => connections.run(sql<ExportRow>`SELECT ${ROW} FROM pointsman.audit_log l WHERE l.arrival > ${arrival} ORDER BY l.arrival LIMIT ${bounded(limit)}`, { signal }),
    rowsAt: (arrivals, signal) => connections.run(sql<ExportRow>`SELECT ${ROW} FROM pointsman.audit_log l WHERE l.arrival = ANY(${[...arrivals]}::bigint[]) ORDER BY l.arrival`, { signal }),
    lateRows: ({ position, lookback, limit }, signal) => connections.run(sql<ExportRow>`
      SELECT ${ROW} FROM pointsman.audit_log l WHERE l.arrival IN (
        SELECT g.arrival FROM pointsman.audit_export_chains c CROSS JOIN LATERAL jsonb_array_elements(c.gaps) gap
          JOIN pointsman.audit_log g ON g.chain = c.chain AND g.seq BETWEEN (gap->>0)::bigint AND (gap->>1)::bigint
          WHERE c.gaps <> '[]' AND g.arrival <= ${position.arrival}
        UNION
        SELECT r.arrival FROM pointsman.audit_log r LEFT JOIN pointsman.audit_export_chains c ON c.chain = r.chain
          WHERE r.arrival > ${position.arrival - lookback} AND r.arrival <= ${position.arrival} AND (c.chain IS NULL OR r.seq > c.seq))
      ORDER BY l.arrival LIMIT ${bounded(limit)}`, { signal }),
    chains: (names, signal) => connections.run(sql<ExportedChain>`SELECT chain, seq, gaps FROM pointsman.audit_export_chains WHERE chain = ANY(${[...names]}::text[])`, { signal }),

    addSegment: (segment, signal) => whenFirst(() => connections.transaction(async (session) => {
      const { from, arrival } = segment;
      const moved = await session.run(sql`UPDATE pointsman.audit_export_position SET arrival = ${arrival}, version = version + 1 WHERE arrival = ${from.arrival} AND version = ${from.version} RETURNING version`);
      if (moved.length === 0) return false;
      for (const part of segment.parts) await session.run(insertPart(part));
      if (segment.chains.length > 0) {
        await session.run(sql`INSERT INTO pointsman.audit_export_chains (chain, seq, gaps) SELECT chain, seq, gaps FROM jsonb_to_recordset(${JSON.stringify(segment.chains)}::jsonb) AS given(chain text, seq bigint, gaps jsonb)
          ON CONFLICT (chain) DO UPDATE SET seq = excluded.seq, gaps = excluded.gaps`);
      }
      return true;
    }, { signal })),
    plannedParts: (limit, signal) => parts(sql`WHERE state = 'planned' ORDER BY number LIMIT ${bounded(limit)}`, signal),
    partWritten: async (key, signal) => {
      await connections.run(sql`UPDATE pointsman.audit_exports SET state = 'written', written_at = now(), arrivals = '{}' WHERE part_key = ${key} AND state = 'planned'`, { signal });
    },
    unlistedDays: async (limit, signal) => (await connections.run(sql<{ day: string }>`
      SELECT to_char(day, 'YYYY-MM-DD') AS day FROM pointsman.audit_exports WHERE manifest IS NULL AND state = 'written' GROUP BY audit_exports.day ORDER BY audit_exports.day LIMIT ${bounded(limit)}`, { signal })).map(({ day }) => day),
    partsOf: (day, signal) => parts(sql`WHERE day = ${day}::date AND state = 'written' ORDER BY number`, signal),

    lastManifest,
    addManifest: (manifest, partKeys, signal) => whenFirst(() => connections.transaction(async (session) => {
      await session.run(sql`INSERT INTO pointsman.audit_export_manifests (sequence, day, number, manifest_key, sha256, body, signature)
        VALUES (${manifest.sequence}, ${manifest.day}::date, ${manifest.number}, ${manifest.key}, ${manifest.sha256}, ${manifest.body ?? null}, ${manifest.signature ?? null})`);
      await session.run(sql`UPDATE pointsman.audit_exports SET manifest = ${manifest.sequence} WHERE part_key = ANY(${[...partKeys]}::text[]) AND manifest IS NULL`);
      return true;
    }, { signal })),
    plannedManifests: (limit, signal) => manifests(sql`WHERE state = 'planned' ORDER BY sequence LIMIT ${bounded(limit)}`, signal),
    manifestWritten: async (sequence, signal) => {
      await connections.run(sql`UPDATE pointsman.audit_export_manifests SET state = 'written', written_at = now(), body = NULL, signature = NULL WHERE sequence = ${sequence} AND state = 'planned'`, { signal });
    },
    dropManifest: (sequence, signal) => connections.transaction(async (session) => {
      const dropped = await session.run(sql`DELETE FROM pointsman.audit_export_manifests WHERE sequence = ${sequence} AND state = 'planned'
        AND NOT EXISTS (SELECT 1 FROM pointsman.audit_export_manifests newer WHERE newer.sequence > ${sequence}) RETURNING sequence`);
      if (dropped.length > 0) await session.run(sql`UPDATE pointsman.audit_exports SET manifest = NULL WHERE manifest = ${sequence}`);
      return dropped.length > 0;
    }, { signal }),

    totals: async (signal) => {
      const [last] = await manifests(sql`WHERE state = 'written' ORDER BY sequence DESC LIMIT 1`, signal);
      const [sum] = await connections.run(sql<{ parts: number; rows: number }>`SELECT count(*) AS parts, coalesce(sum(rows), 0) AS rows FROM pointsman.audit_exports WHERE manifest <= ${last?.sequence ?? 0}`, { signal });
      return { parts: sum?.parts ?? 0, rows: sum?.rows ?? 0, lastManifest: last };
    },
    lease: (holder, ttlMs, signal) => done(ttlMs <= 0
      ? sql`UPDATE pointsman.audit_export_position SET holder = NULL, held_until = NULL WHERE holder = ${holder} RETURNING one`
      : sql`UPDATE pointsman.audit_export_position SET holder = ${holder}, held_until = now() + ${ttlMs}::double precision * interval '1 millisecond'
          WHERE holder IS NULL OR holder = ${holder} OR held_until < now() RETURNING one`, signal),
  };
}

function insertPart({ key, day, arrivals, first, last, rows, bytes, sha256, chains }: ExportPart): RawBuilder<unknown> {
  return sql`INSERT INTO pointsman.audit_exports (part_key, day, arrivals, first_id, first_hash, last_id, last_hash, rows, bytes, sha256, chains)
    VALUES (${key}, ${day}::date, ${[...arrivals]}::bigint[], ${first.id}, ${first.hash}, ${last.id}, ${last.hash}, ${rows}, ${bytes}, ${sha256}, ${JSON.stringify(chains)}::jsonb)`;
}

/** Another that was first shows as a number or name that is taken. */
async function whenFirst(work: () => Promise<boolean>): Promise<boolean> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof AlreadyExistsError || sqlStateOf(error) === '23505') return false;
    throw error;
  }
}

function partOf({ part_key: key, number, day, arrivals, first_id, first_hash, last_id, last_hash, rows, bytes, sha256, chains }: PartColumns): StoredExportPart {
  return {
    key, number, day, arrivals: arrivals.map(Number), first: { id: first_id, hash: first_hash }, last: { id: last_id, hash: last_hash }, rows, bytes, sha256,
    // jsonb sorts the keys of objects; what goes into a manifest is to be the same every time all the same.
    chains: chains.map(({ chain, rows: count, first, last }): ExportChain => ({ chain, rows: count, first: { seq: first.seq, hash: first.hash }, last: { seq: last.seq, hash: last.hash } })),
  };
}

function manifestOf({ sequence, day, number, manifest_key: key, sha256, body, signature }: ManifestColumns): ExportManifest {
  return { sequence, day, number, key, sha256, ...(body === null ? {} : { body }), ...(signature === null ? {} : { signature }) };
}

function bounded(limit: number): number {
  return Math.min(Math.max(Math.trunc(limit) || 1, 1), MOST_ROWS);
}
