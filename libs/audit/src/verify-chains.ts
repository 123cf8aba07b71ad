import { z } from 'zod';
import { hashOfRow, chainHeadSchema, NO_HASH, type ChainHead } from './audit-chain.ts';
import { CHAIN_ACTIONS } from './chain-actions.ts';

export type AuditProblemKind = 'edited' | 'missing' | 'reordered' | 'duplicate';

export interface AuditProblem {
  readonly chain: string;
  /** The first row concerned. */
  readonly seq: number;
  readonly kind: AuditProblemKind;
  /** How many rows, where more than one in a row are missing. */
  readonly rows: number;
  readonly detail: string;
}

export interface VerifiedChain {
  readonly chain: string;
  readonly rows: number;
  readonly lastSeq: number;
  /** `open`: without a last row. The process is running, or was killed. */
  readonly state: 'closed' | 'open';
}

export interface ChainReport {
  readonly chains: readonly VerifiedChain[];
  readonly rows: number;
  /** The first ones, at most `maxProblems`. */
  readonly problems: readonly AuditProblem[];
  readonly problemCount: number;
}

export interface VerifyOptions {
  /** The rows are a part of the log (one day, one file): what came before them is not missed. Default false. */
  readonly partial?: boolean;
  /** Default 1,000. */
  readonly maxProblems?: number;
}

/** Gaps remembered per chain, to tell a row that comes late from one that never comes. */
const MAX_GAPS = 64;

/** The fields a chain is made of; everything else is covered by the hash. */
const linkSchema = z.looseObject({ chain: z.string(), seq: z.number().int().positive(), prev_hash: z.string(), hash: z.string(), action: z.unknown().optional(), after: z.unknown().optional() });
const inheritedSchema = z.object({ previous: z.array(chainHeadSchema) });

interface ChainState {
  rows: number;
  lastSeq: number;
  lastHash: string;
  closed: boolean;
  /** Ranges [from, to] that were passed over. */
  readonly gaps: [number, number][];
}

/**
 * Walks rows in the order they were stored and says what is wrong with their chains: a row that was changed, also when its own hash was made again; rows that are gone,
 * came in another order, or twice. The end of a chain that was cut off shows where the next process of that replica has named it.
 * Memory grows with the number of chains only. What it cannot show: a log that was written anew from some row to its end, by somebody who can write all of it.
 */
export async function verifyChains(rows: AsyncIterable<unknown> | Iterable<unknown>, { partial = false, maxProblems = 1_000 }: VerifyOptions = {}): Promise<ChainReport> {
  const chains = new Map<string, ChainState>();
  const named = new Map<string, ChainHead>();
  const problems: AuditProblem[] = [];
  let problemCount = 0;
  let rowCount = 0;
  const report = (chain: string, seq: number, kind: AuditProblemKind, detail: string, count = 1): void => {
    problemCount += 1;
    if (problems.length < maxProblems) problems.push({ chain, seq, kind, rows: count, detail });
  };

  for await (const value of rows) {
    rowCount += 1;
    const parsed = linkSchema.safeParse(value);
    if (!parsed.success) {
      report(textOf(value, 'chain'), 0, 'edited', 'This row is no audit row.');
      continue;
    }
    const row = parsed.data;
    let state = chains.get(row.chain);
    if (state === undefined) {
      state = { rows: 0, lastSeq: partial ? row.seq - 1 : 0, lastHash: partial && row.seq > 1 ? row.prev_hash : NO_HASH, closed: false, gaps: [] };
      chains.set(row.chain, state);
    }
    state.rows += 1;
    if (hashOf(row) !== row.hash) report(row.chain, row.seq, 'edited', 'Its content does not match its hash.');
    if (row.action === CHAIN_ACTIONS.closed) state.closed = true;
    if (row.action === CHAIN_ACTIONS.opened || row.action === CHAIN_ACTIONS.inherited) remember(named, row.after);
    follow(state, row, report);
  }

  const list: VerifiedChain[] = [];
  for (const [chain, { rows: count, lastSeq, closed, gaps }] of chains) {
    for (const [from, to] of gaps) report(chain, from, 'missing', from === to ? 'This row is gone.' : `Rows ${String(from)} to ${String(to)} are gone.`, to - from + 1);
    list.push({ chain, rows: count, lastSeq, state: closed ? 'closed' : 'open' });
  }
  for (const head of named.values()) checkEnd(chains.get(head.chain), head, partial, report);
  return { chains: list, rows: rowCount, problems, problemCount };
}

type Report = (chain: string, seq: number, kind: AuditProblemKind, detail: string, count?: number) => void;

/** Puts a row where its number says it belongs. */
function follow(state: ChainState, { chain, seq, prev_hash: previous, hash }: z.infer<typeof linkSchema>, report: Report): void {
  if (seq <= state.lastSeq) {
    if (fillGap(state.gaps, seq)) report(chain, seq, 'reordered', `It comes after row ${String(state.lastSeq)}.`);
    else report(chain, seq, 'duplicate', 'There is a row with this number before it.');
    return;
  }
  if (seq > state.lastSeq + 1) openGap(state.gaps, state.lastSeq + 1, seq - 1);
  else if (previous !== state.lastHash) {
    report(chain, Math.max(1, seq - 1), 'edited', seq === 1 ? 'The first row of a chain names a row before it.' : `The hash of this row is not the one that row ${String(seq)} was tied to.`);
  }
  state.lastSeq = seq;
  state.lastHash = hash;
}

function openGap(gaps: [number, number][], from: number, to: number): void {
  const last = gaps.at(-1);
  // Beyond so many gaps one more row that is gone or late makes no difference to what is said.
  if (last !== undefined && gaps.length >= MAX_GAPS) last[1] = to;
  else gaps.push([from, to]);
}

function fillGap(gaps: [number, number][], seq: number): boolean {
  const index = gaps.findIndex(([from, to]) => from <= seq && seq <= to);
  const gap = gaps[index];
  if (gap === undefined) return false;
  const [from, to] = gap;
  const rest: [number, number][] = [];
  if (from < seq) rest.push([from, seq - 1]);
  if (seq < to) rest.push([seq + 1, to]);
  gaps.splice(index, 1, ...rest);
  return true;
}

/** Keeps what a later process says about the end of an earlier chain. */
function remember(named: Map<string, ChainHead>, after: unknown): void {
  const parsed = inheritedSchema.safeParse(after);
  if (!parsed.success) return;
  for (const head of parsed.data.previous) {
    const known = named.get(head.chain);
    if (known === undefined || known.seq < head.seq) named.set(head.chain, head);
  }
}

function checkEnd(state: ChainState | undefined, { chain, seq, hash }: ChainHead, partial: boolean, report: Report): void {
  if (seq === 0) return;
  if (state === undefined) {
    if (!partial) report(chain, 1, 'missing', `The whole chain of ${String(seq)} rows is gone: a later process has named it.`, seq);
  } else if (state.lastSeq < seq) {
    report(chain, state.lastSeq + 1, 'missing', `Its end is gone: a later process has named row ${String(seq)} as its last.`, seq - state.lastSeq);
  } else if (state.lastSeq === seq && state.lastHash !== hash) {
    report(chain, seq, 'edited', 'Its hash is not the one that a later process has named.');
  }
}

function hashOf(row: Readonly<Record<string, unknown>>): string | undefined {
  try {
    return hashOfRow(row);
  } catch {
    return undefined;
  }
}

function textOf(value: unknown, field: string): string {
  const found = typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[field] : undefined;
  return typeof found === 'string' ? found : '';
}
