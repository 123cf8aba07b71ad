import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { AppError } from '@pointsman/errors';
import { ObjectStoreError, type ObjectStore } from '@pointsman/object-store';
import { NGRAM_BUCKETS, TEXT_FEATURES, type EmbedderIdentity } from '@pointsman/routing';
import { decodeFloat16 } from '../dataset/float16.ts';
import type { StoredFeatures } from '../dataset/outcome-row.ts';
import type { WindowRow } from '../off-policy/logged-decision.ts';
import { fetchObjects, type FetchedObjects } from './fetch-objects.ts';
import { queryRows, type QueriedRow } from './query-rows.ts';
import { daysOf, type TraceWindow } from './trace-window.ts';

export interface ReadWindowOptions {
  /** Holds `traces/YYYY-MM-DD/…`. */
  readonly store: ObjectStore;
  readonly window: TraceWindow;
  /** Rows with stored features of another one are left out and counted. */
  readonly embedder: EmbedderIdentity;
  /**
   * What is taken of requests that nobody judged. `failures` (default): only that an answer failed or was asked for again. `outcomes`: also that an answer
   * which came whole was good.
   */
  readonly implicit?: 'failures' | 'outcomes' | undefined;
  /** Newest rows kept at most; 100,000 by default. */
  readonly limit?: number | undefined;
  /** Folders of how many days after the window are searched for late feedback; 2 by default. */
  readonly lateDays?: number | undefined;
  /** Of the engine's memory; 1 GB by default. What does not fit goes to disk. */
  readonly memoryBytes?: number | undefined;
  /** Of everything written to the temporary folder, packed objects and the engine's own files each; 8 GB by default. */
  readonly diskBytes?: number | undefined;
  readonly progress?: ((share: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How many rows there were and what became of them. */
export interface WindowCounts {
  readonly objects: number;
  readonly lines: number;
  /** Lines that are no JSON, or JSON that is no row. */
  readonly badLines: number;
  /** Requests of the window, each once. */
  readonly requests: number;
  readonly duplicates: number;
  readonly lateFeedback: number;
  /** Decisions that no strategy made (`default-order`). */
  readonly undecided: number;
  /** Without a propensity, or with one that is no probability. */
  readonly badPropensity: number;
  readonly noFeatures: number;
  /** Of another embedder or feature version. */
  readonly otherFeatures: number;
  readonly unlabelled: number;
  readonly judged: number;
  readonly failed: number;
  readonly undisturbed: number;
  /** What is in `rows`. */
  readonly used: number;
  /** Older than the newest `limit` rows. */
  readonly overLimit: number;
}

export interface WindowData {
  readonly window: TraceWindow;
  /** Oldest first; the same whatever objects they came in. */
  readonly rows: readonly WindowRow[];
  readonly counts: WindowCounts;
  /** Objects with damage, in words, at most 20. */
  readonly problems: readonly string[];
  /** `s3://bucket/traces/?from=…&to=…`: for the manifest. */
  readonly uri: string;
}

const DEFAULT_LIMIT = 100_000;
const DEFAULT_LATE_DAYS = 2;
const DEFAULT_MEMORY_BYTES = 1e9;
const DEFAULT_DISK_BYTES = 8e9;
const MAX_UNPACKED_BYTES = 2 ** 31;
/** Inverse propensities are cut here in training: a choice of one in a thousand must not count a thousandfold. */
const MAX_WEIGHT = 10;
const SHOWN_PROBLEMS = 20;

/**
 * The training rows of a window: fetched into a private folder that is gone again afterwards, joined and labelled by the SQL of `window-sql.ts`.
 * @throws AppError `empty_window`, `no_labels`, `window_too_large`, `store_…` when the store refuses or is away
 */
export async function readTraceWindow(options: ReadWindowOptions): Promise<WindowData> {
  const { store, window, embedder, implicit = 'failures', limit = DEFAULT_LIMIT, lateDays = DEFAULT_LATE_DAYS, memoryBytes = DEFAULT_MEMORY_BYTES, diskBytes = DEFAULT_DISK_BYTES, progress, signal } = options;
  // Mode 0700: what lies there is personal data.
  const directory = await mkdtemp(join(tmpdir(), 'pointsman-window-'));
  try {
    const fetched = await atStore(() => fetchObjects({ store, days: daysOf(window, lateDays), directory, limits: { maxBytes: diskBytes, maxUnpackedBytes: MAX_UNPACKED_BYTES }, progress: (share) => progress?.(0.7 * share), signal }));
    if (fetched.objects.length === 0) throw emptyWindow(window, store, fetched);
    signal?.throwIfAborted();
    const { counts, badLines, rows: queried } = await queryRows({
      files: fetched.objects.map(({ file }) => file), directory, window, embedder, featuresWidth: TEXT_FEATURES.length, undisturbed: implicit === 'outcomes', limit, memoryBytes, diskBytes,
    });
    progress?.(0.9);
    const count = (name: string): number => counts[name] ?? 0;
    const labelled = count('judged') + count('failed') + count('undisturbed');
    const keyOf = new Map(fetched.objects.map(({ key, file }) => [basename(file), key]));
    const bad = [...badLines].map(([file, lines]) => `${keyOf.get(basename(file)) ?? basename(file)}: ${String(lines)} ${lines === 1 ? 'line is' : 'lines are'} no row`).sort();
    if (count('requests') === 0) throw emptyWindow(window, store, { ...fetched, problems: [...fetched.problems, ...bad] });
    // Of answers that came, only some are judged, while every failure is known: a failure stands for as many as one that came whole would have had judged.
    const judgedShare = implicit === 'outcomes' ? 1 : count('judged') / Math.max(1, count('judged') + count('unlabelled'));
    if (judgedShare === 0) throw noLabels(count('requests'), labelled);
    const rows: WindowRow[] = [];
    let spoiled = 0;
    for (const row of queried) {
      const made = toWindowRow(row, embedder, judgedShare);
      if (made === undefined) spoiled += 1;
      else rows.push(made);
    }
    if (rows.length === 0) throw noLabels(count('requests'), 0);
    progress?.(1);
    return {
      window, rows, problems: [...fetched.problems, ...bad].slice(0, SHOWN_PROBLEMS), uri: `${store.url.replace(/\/$/, '')}/traces/?from=${window.from.toISOString()}&to=${window.to.toISOString()}`,
      counts: {
        objects: fetched.objects.length, lines: count('lines'), badLines: [...badLines.values()].reduce((sum, lines) => sum + lines, 0), requests: count('requests'), duplicates: count('duplicates'), lateFeedback: count('late_feedback'),
        undecided: count('undecided'), badPropensity: count('bad_propensity'), noFeatures: count('no_features'), otherFeatures: count('other_features') + spoiled, unlabelled: count('unlabelled'),
        judged: count('judged'), failed: count('failed'), undisturbed: count('undisturbed'), used: rows.length, overLimit: labelled - queried.length,
      },
    };
  } finally {
    await rm(directory, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** The oldest rows to learn from and the newest ones to be judged on. Rows of one moment are not parted: what was learned is older than every row held out. */
export function splitByTime(rows: readonly WindowRow[], heldShare: number): { readonly training: readonly WindowRow[]; readonly held: readonly WindowRow[] } {
  let cut = Math.floor(rows.length * (1 - heldShare));
  while (cut > 0 && cut < rows.length && rows[cut]!.decision.at === rows[cut - 1]!.decision.at) cut += 1;
  return { training: rows.slice(0, cut), held: rows.slice(cut) };
}

function toWindowRow(row: QueriedRow, embedder: EmbedderIdentity, judgedShare: number): WindowRow | undefined {
  const features = storedFeatures(row, embedder);
  if (features === 'spoiled' || (features === undefined && row.prompt === null)) return undefined;
  const offered = parseList(row.candidates).filter((name): name is string => typeof name === 'string');
  const sampleWeight = row.source === 'feedback' || row.source === 'judge' || row.source === 'undisturbed' ? 1 : judgedShare;
  const quality = new Map([[row.selected, row.quality]]);
  if (row.served !== null && row.fallback_quality !== null) quality.set(row.served, row.fallback_quality);
  return {
    outcome: {
      id: row.request_id, subject: '', prompt: row.prompt ?? undefined, features, quality, answers: new Map(), at: row.at_text,
      // As float32: what heads get, and the same after a trip through a file.
      weight: Math.fround(sampleWeight * Math.min(MAX_WEIGHT, 1 / row.propensity)),
    },
    decision: {
      id: row.request_id, at: Date.parse(row.at_text), strategy: row.strategy, modelVersion: row.model_version, candidates: [...new Set([...offered, row.selected])], selected: row.selected,
      copies: Math.max(1, offered.filter((name) => name === row.selected).length), propensity: row.propensity, reward: row.quality, costUsd: row.cost_usd ?? undefined, sampleWeight,
    },
  };
}

function storedFeatures(row: QueriedRow, embedder: EmbedderIdentity): StoredFeatures | undefined | 'spoiled' {
  if (row.features === null) return undefined;
  const text = parseList(row.features);
  const embedding = decodeFloat16(row.embedding ?? '');
  const isSound = text.length === TEXT_FEATURES.length && text.every((value) => typeof value === 'number' && Number.isFinite(value)) && embedding?.length === embedder.dimensions;
  // With the prompt at hand they are made anew.
  if (!isSound) return row.prompt === null ? 'spoiled' : undefined;
  const { index, value } = parseNgrams(row.ngrams);
  return { text: Float32Array.from(text as number[]), embedding, ngramIndex: index, ngramValue: value };
}

function parseNgrams(text: string | null): { readonly index: Int32Array | undefined; readonly value: Float32Array | undefined } {
  const parsed = text === null ? undefined : JSON.parse(text) as { readonly index?: unknown; readonly value?: unknown };
  const { index, value } = parsed ?? {};
  const areSound = Array.isArray(index) && Array.isArray(value) && index.length === value.length && index.every((bucket) => Number.isInteger(bucket) && bucket >= 0 && bucket < NGRAM_BUCKETS) && value.every(Number.isFinite);
  return areSound ? { index: Int32Array.from(index as number[]), value: Float32Array.from(value as number[]) } : { index: undefined, value: undefined };
}

function parseList(text: string): readonly unknown[] {
  const value = JSON.parse(text) as unknown;
  return Array.isArray(value) ? value : [];
}

function emptyWindow({ from, to }: TraceWindow, store: ObjectStore, { objects, problems }: Pick<FetchedObjects, 'objects' | 'problems'>): AppError {
  const found = objects.length === 0 ? 'no object' : `${String(objects.length)} objects but no request`;
  return new AppError('unprocessable', 'empty_window', `Nothing to learn from between ${from.toISOString()} and ${to.toISOString()}: ${store.url} holds ${found} of that time under traces/.${problems.length === 0 ? '' : ` ${problems.slice(0, 3).join('; ')}.`}`);
}

function noLabels(requests: number, known: number): AppError {
  return new AppError('unprocessable', 'no_labels', `Of the ${String(requests)} requests of this window nobody judged one that can be used (${String(known)} have a known course). Send /v1/feedback, turn the judge on, or take whole answers for good ones: implicit outcomes.`);
}

async function atStore<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ObjectStoreError)) throw error;
    throw new AppError(error.retryable ? 'unavailable' : 'invalid_request', `store_${error.kind}`, `object store: ${error.message}`, { cause: error });
  }
}
