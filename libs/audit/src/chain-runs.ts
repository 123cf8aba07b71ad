import { z } from 'zod';
import { chainHeadSchema, hashOfRow, NO_HASH, type ChainHead } from './audit-chain.ts';
import { CHAIN_ACTIONS } from './chain-actions.ts';
import type { AuditManifestChain } from './export-manifest.ts';
import type { AuditProblemKind, VerifiedChain } from './verify-chains.ts';

const rowSchema = z.looseObject({ id: z.string(), chain: z.string(), seq: z.number().int().positive(), prev_hash: z.string(), hash: z.string(), action: z.unknown().optional(), after: z.unknown().optional() });
const inheritedSchema = z.object({ previous: z.array(chainHeadSchema) });

/** Rows of one chain that follow each other without a gap. */
interface Run {
  readonly first: number;
  readonly firstPrevious: string;
  last: number;
  lastHash: string;
}

interface ChainState {
  rows: number;
  closed: boolean;
  readonly runs: Run[];
}

export type ReportRow = (problem: { readonly chain: string; readonly seq: number; readonly kind: AuditProblemKind; readonly rows?: number; readonly detail: string }) => void;

/** What the rows of one file were. */
export interface FileRows {
  readonly rows: number;
  readonly first: { readonly id: string; readonly hash: string } | undefined;
  readonly last: { readonly id: string; readonly hash: string } | undefined;
  readonly chains: readonly AuditManifestChain[];
}

/**
 * Puts the chains of exported files together again. Other than in the order of arrival, rows of one chain may come in any file: those that came late are in a later one,
 * or in a file of an earlier day. So only the order within a file says something; across files the runs are joined at the end. Memory grows with chains and gaps.
 */
export class ChainRuns {
  readonly #chains = new Map<string, ChainState>();
  readonly #named = new Map<string, ChainHead>();
  #file = new Map<string, AuditManifestChain & { lastSeen: number }>();
  #rows = 0;
  #first: FileRows['first'];
  #last: FileRows['last'];

  /** The rows from here on are of another file. */
  beginFile(): void {
    this.#file = new Map();
    this.#rows = 0;
    this.#first = undefined;
    this.#last = undefined;
  }

  /** `line` of the file, from 1. */
  add(value: unknown, line: number, report: ReportRow): void {
    this.#rows += 1;
    const parsed = rowSchema.safeParse(value);
    if (!parsed.success) {
      report({ chain: '', seq: 0, kind: 'edited', detail: `Line ${String(line)} is no audit row.` });
      return;
    }
    const row = parsed.data;
    const { id, chain, seq, hash } = row;
    this.#first ??= { id, hash };
    this.#last = { id, hash };
    if (hashOf(row) !== hash) report({ chain, seq, kind: 'edited', detail: `Line ${String(line)}: its content does not match its hash.` });
    const inFile = this.#file.get(chain);
    if (inFile !== undefined && seq < inFile.lastSeen) report({ chain, seq, kind: 'reordered', detail: `Line ${String(line)}: it comes after row ${String(inFile.lastSeen)}.` });
    const place = { seq, hash };
    this.#file.set(chain, {
      chain, lastSeen: seq, rows: (inFile?.rows ?? 0) + 1,
      first: inFile === undefined || seq < inFile.first.seq ? place : inFile.first, last: inFile === undefined || seq > inFile.last.seq ? place : inFile.last,
    });

    const state = this.#chains.get(chain) ?? { rows: 0, closed: false, runs: [] };
    this.#chains.set(chain, state);
    state.rows += 1;
    if (row.action === CHAIN_ACTIONS.closed) state.closed = true;
    if (row.action === CHAIN_ACTIONS.opened || row.action === CHAIN_ACTIONS.inherited) this.#remember(row.after);
    const run = state.runs.at(-1);
    if (run === undefined || seq !== run.last + 1) {
      state.runs.push({ first: seq, firstPrevious: row.prev_hash, last: seq, lastHash: hash });
      return;
    }
    if (row.prev_hash !== run.lastHash) report({ chain, seq: run.last, kind: 'edited', detail: `The hash of this row is not the one that row ${String(seq)} was tied to.` });
    run.last = seq;
    run.lastHash = hash;
  }

  /** Of the file that was begun last. */
  file(): FileRows {
    return { rows: this.#rows, first: this.#first, last: this.#last, chains: [...this.#file.values()].map(({ chain, rows, first, last }) => ({ chain, rows, first, last })) };
  }

  /** After the last row of all files. `partial`: what came before them is not missed. */
  finish({ partial }: { readonly partial: boolean }, report: ReportRow): VerifiedChain[] {
    const list: VerifiedChain[] = [];
    for (const [chain, state] of this.#chains) {
      const { last, lastHash } = joinRuns(chain, state.runs, partial, report);
      list.push({ chain, rows: state.rows, lastSeq: last, state: state.closed ? 'closed' : 'open' });
      const named = this.#named.get(chain);
      if (named === undefined) continue;
      if (named.seq > last) report({ chain, seq: last + 1, kind: 'missing', rows: named.seq - last, detail: `Its end is gone: a later process has named row ${String(named.seq)} as its last.` });
      else if (named.seq === last && named.hash !== lastHash) report({ chain, seq: last, kind: 'edited', detail: 'Its hash is not the one that a later process has named.' });
    }
    for (const { chain, seq } of this.#named.values()) {
      if (seq > 0 && !partial && !this.#chains.has(chain)) report({ chain, seq: 1, kind: 'missing', rows: seq, detail: `The whole chain of ${String(seq)} rows is gone: a later process has named it.` });
    }
    return list;
  }

  #remember(after: unknown): void {
    for (const head of inheritedSchema.safeParse(after).data?.previous ?? []) {
      const known = this.#named.get(head.chain);
      if (known === undefined || known.seq < head.seq) this.#named.set(head.chain, head);
    }
  }
}

function joinRuns(chain: string, runs: readonly Run[], partial: boolean, report: ReportRow): { readonly last: number; readonly lastHash: string } {
  const ordered = [...runs].sort((a, b) => a.first - b.first || a.last - b.last);
  let last = 0;
  let lastHash = NO_HASH;
  for (const run of ordered) {
    const isStart = last === 0 && partial && run.first > 1;
    if (run.first <= last) {
      const end = Math.min(run.last, last);
      report({ chain, seq: run.first, kind: 'duplicate', rows: end - run.first + 1, detail: end === run.first ? 'This row is there twice.' : `Rows ${String(run.first)} to ${String(end)} are there twice.` });
    } else if (run.first > last + 1) {
      if (!isStart) report({ chain, seq: last + 1, kind: 'missing', rows: run.first - last - 1, detail: run.first === last + 2 ? 'This row is gone.' : `Rows ${String(last + 1)} to ${String(run.first - 1)} are gone.` });
    } else if (run.firstPrevious !== lastHash) {
      report({ chain, seq: Math.max(1, last), kind: 'edited', detail: last === 0 ? 'The first row of a chain names a row before it.' : `The hash of this row is not the one that row ${String(run.first)} was tied to.` });
    }
    if (run.last > last) ({ last, lastHash } = run);
  }
  return { last, lastHash };
}

function hashOf(row: Readonly<Record<string, unknown>>): string | undefined {
  try {
    return hashOfRow(row);
  } catch {
    return undefined;
  }
}
