import { hash } from 'node:crypto';
import { mergeManifestChains, partKey } from '@pointsman/audit';
import type { AuditExportStore, ExportedChain, ExportPart, ExportRow, ExportSegment } from '@pointsman/database';
import { z } from 'zod';

export interface SegmentLimits {
  readonly rows: number;
  readonly bytes: number;
  /** Rows of one question to the database. */
  readonly pageRows: number;
}

export interface PlannedSegment {
  readonly segment: ExportSegment;
  /** The files of the parts, by key. */
  readonly bodies: ReadonlyMap<string, Buffer>;
  readonly rows: number;
  /** Rows with a number that was exported before. */
  readonly skipped: number;
}

/** So far back rows are looked for that appeared below the position: a standby that took over may give numbers again that were read from the old primary. */
const LOOKBACK = 10_000;

/** Fields of a row that the ledger names; a row without them is exported all the same. */
const namedSchema = z.object({ id: z.string(), hash: z.string() });

/**
 * The next rows that are in no part, as parts by day: first what arrived since, then what came late. Undefined when there is nothing. Reads by the key of arrival, which
 * is given in the order transactions end: what is inserted meanwhile has a higher one. Holds one segment in memory.
 */
export async function planSegment(exports: AuditExportStore, { limits, timestamp }: { readonly limits: SegmentLimits; readonly timestamp: () => number }, signal: AbortSignal): Promise<PlannedSegment | undefined> {
  const from = await exports.position(signal);
  let rows = await readNext(exports, from.arrival, limits, signal);
  const isLate = rows.length === 0;
  if (isLate) rows = within(await exports.lateRows({ position: from, lookback: LOOKBACK, limit: Math.min(limits.pageRows, limits.rows) }, signal), limits.bytes);
  const last = rows.at(-1);
  if (last === undefined) return undefined;
  const known = await exports.chains([...new Set(rows.map(({ chain }) => chain))], signal);
  const { taken, chains } = takeRows(rows, known);
  if (isLate && taken.length === 0) return undefined;
  const parts = toParts(taken, timestamp());
  return {
    segment: { from, arrival: isLate ? from.arrival : last.arrival, parts: parts.map(({ part }) => part), chains },
    bodies: new Map(parts.map(({ part, body }) => [part.key, body])), rows: taken.length, skipped: rows.length - taken.length,
  };
}

async function readNext(exports: AuditExportStore, after: number, limits: SegmentLimits, signal: AbortSignal): Promise<readonly ExportRow[]> {
  const rows: ExportRow[] = [];
  let bytes = 0;
  let arrival = after;
  while (rows.length < limits.rows && bytes < limits.bytes) {
    const asked = Math.min(limits.pageRows, limits.rows - rows.length);
    const page = await exports.rowsAfter(arrival, asked, signal);
    for (const row of within(page, limits.bytes - bytes)) {
      rows.push(row);
      bytes += Buffer.byteLength(row.line) + 1;
      arrival = row.arrival;
    }
    if (page.length < asked) break;
  }
  return rows;
}

/** The first rows, up to a number of bytes and the row that passes it. */
function within(rows: readonly ExportRow[], bytes: number): readonly ExportRow[] {
  let sum = 0;
  const end = rows.findIndex((row) => (sum += Buffer.byteLength(row.line) + 1) >= bytes);
  return end === -1 ? rows : rows.slice(0, end + 1);
}

/** Rows that are not exported yet, and how far their chains are with them. A number that is passed over becomes a gap; one out of a gap came late. */
export function takeRows(rows: readonly ExportRow[], known: readonly ExportedChain[]): { readonly taken: readonly ExportRow[]; readonly chains: readonly ExportedChain[] } {
  const chains = new Map<string, { seq: number; gaps: (readonly [number, number])[] }>(known.map(({ chain, seq, gaps }) => [chain, { seq, gaps: [...gaps] }]));
  const taken = rows.filter(({ chain, seq }) => {
    const state = chains.get(chain) ?? { seq: 0, gaps: [] };
    chains.set(chain, state);
    if (seq > state.seq) {
      if (seq > state.seq + 1) state.gaps.push([state.seq + 1, seq - 1]);
      state.seq = seq;
      return true;
    }
    const index = state.gaps.findIndex(([first, last]) => first <= seq && seq <= last);
    const gap = state.gaps[index];
    if (gap === undefined) return false;
    const rest: [number, number][] = [[gap[0], seq - 1], [seq + 1, gap[1]]];
    state.gaps.splice(index, 1, ...rest.filter(([first, last]) => first <= last));
    return true;
  });
  return { taken, chains: [...chains].map(([chain, { seq, gaps }]) => ({ chain, seq, gaps })) };
}

function toParts(rows: readonly ExportRow[], timestamp: number): { readonly part: ExportPart; readonly body: Buffer }[] {
  return [...Map.groupBy(rows, ({ day }) => day)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([day, ofDay]) => toPart(day, ofDay, timestamp));
}

function toPart(day: string, rows: readonly ExportRow[], timestamp: number): { readonly part: ExportPart; readonly body: Buffer } {
  const ordered = inChainOrder(rows);
  const named = ordered.map((row) => ({ chain: row.chain, seq: row.seq, ...nameOf(row) }));
  const body = partBody(ordered);
  const [first, last] = [named[0], named.at(-1)];
  if (first === undefined || last === undefined) throw new RangeError('A part has rows.');
  const part: ExportPart = {
    key: partKey(day, timestamp), day, arrivals: rows.map(({ arrival }) => arrival).sort((a, b) => a - b), first: { id: first.id, hash: first.hash }, last: { id: last.id, hash: last.hash },
    rows: ordered.length, bytes: body.length, sha256: hash('sha256', body, 'hex'),
    chains: mergeManifestChains(named.map(({ chain, seq, hash: rowHash }) => ({ chain, rows: 1, first: { seq, hash: rowHash }, last: { seq, hash: rowHash } }))),
  };
  return { part, body };
}

/** The bytes of a part, of its rows in order of arrival or in that of the part: the same. */
export function partBody(rows: readonly ExportRow[]): Buffer {
  return Buffer.from(inChainOrder(rows).map(({ line }) => `${singleLine(line)}\n`).join(''));
}

/** Order of arrival; rows of one chain that arrived in another order than their numbers change places among themselves. */
function inChainOrder(rows: readonly ExportRow[]): readonly ExportRow[] {
  const byArrival = [...rows].sort((a, b) => a.arrival - b.arrival);
  const next = new Map([...Map.groupBy(byArrival, ({ chain }) => chain)].map(([chain, ofChain]) => [chain, ofChain.sort((a, b) => a.seq - b.seq).values()]));
  return byArrival.map((row) => next.get(row.chain)?.next().value ?? row);
}

/** JSON may hold line ends between its tokens; inside of strings they are escaped. */
function singleLine(line: string): string {
  return line.replaceAll(/[\r\n]+/g, ' ');
}

function nameOf({ chain, seq, line }: ExportRow): z.infer<typeof namedSchema> {
  return namedSchema.safeParse(JSON.parse(line)).data ?? { id: `${chain}/${String(seq)}`, hash: '' };
}
