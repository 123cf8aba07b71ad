import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { openObjectStore, type ObjectStore } from '@pointsman/object-store';
import { startObjectStore, temporaryDirectory, type TemporaryDirectory } from '@pointsman/testing';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { datasetDigest } from '../dataset/dataset-digest.ts';
import { WORLD, worldRows, writeTraces } from '../simulated-world.fixture.ts';
import { readTraceWindow, splitByTime, type WindowData } from './read-window.ts';
import { daysOf, parseWindow } from './trace-window.ts';

const NONE = { name: 'none', sha256: '', dimensions: 0 } as const;
const DAY = { from: new Date('2026-01-05T00:00:00Z'), to: new Date('2026-01-06T00:00:00Z') };
let folder: TemporaryDirectory;
let store: ObjectStore;

beforeEach(async () => {
  folder = await temporaryDirectory();
  // Of this test alone: others make temporary folders at the same time.
  await mkdir(temporary());
  vi.stubEnv('TMPDIR', temporary());
  store = await openObjectStore(`file://${folder.path}`);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  store.close();
  await folder[Symbol.asyncDispose]();
});

const temporary = (): string => join(folder.path, 'temporary');
const read = (options: Partial<Parameters<typeof readTraceWindow>[0]> = {}): Promise<WindowData> => readTraceWindow({ store, window: DAY, embedder: NONE, ...options });
const digest = ({ rows }: WindowData): string => datasetDigest(rows.map(({ outcome }) => outcome));

test('rows of a window come oldest first with their label, propensity and cost, and those outside of it do not come', async () => {
  const rows = await worldRows({ rows: 60, seed: 1, stepMs: 3_600_000, from: new Date('2026-01-04T12:00:00Z') });
  await writeTraces(folder.path, rows, { rowsPerObject: 5 });
  const data = await read();
  expect(data.rows.map(({ decision }) => decision.id)).toEqual(Array.from({ length: 24 }, (_, index) => `r1-${String(index + 12)}`));
  expect(data.counts).toMatchObject({ lines: 60, requests: 24, used: 24, judged: 24, badLines: 0 });
  expect(data.problems).toEqual([]);
  const [first] = data.rows;
  const source = rows[12] as { selected_model: string; outcome: { feedback_score: number; cost_usd: number } };
  expect(first!.decision).toMatchObject({ candidates: [...WORLD.models], selected: source.selected_model, propensity: 0.25, reward: source.outcome.feedback_score, costUsd: source.outcome.cost_usd, sampleWeight: 1, copies: 1 });
  expect(first!.outcome).toMatchObject({ weight: 4, quality: new Map([[source.selected_model, source.outcome.feedback_score]]) });
});

test('the digest of a window does not depend on how rows lie in objects, and every row counts once', async () => {
  const rows = await worldRows({ rows: 200, seed: 2 });
  await writeTraces(folder.path, rows, { rowsPerObject: 37 });
  const first = await read();
  await using other = await temporaryDirectory();
  await writeTraces(other.path, rows.toReversed(), { rowsPerObject: 90 });
  await writeTraces(other.path, rows.slice(50, 80), { pod: 'pod-1' });
  using second = Object.assign(await openObjectStore(`file://${other.path}`), { [Symbol.dispose]: () => undefined });
  const again = await read({ store: second });
  expect(digest(again)).toBe(digest(first));
  expect(again.counts).toMatchObject({ lines: 230, requests: 200, duplicates: 30, used: 200 });
});

test('the newest feedback wins, in whatever object it lies; a person counts before a judge', async () => {
  const [row] = await worldRows({ rows: 1, seed: 3, change: () => ({ outcome: { status: 200, latency_ms: 1, judge_score: 0.9, feedback_score: 1 } }) });
  const judged = { ...row, request_id: 'judged', outcome: { status: 200, latency_ms: 1 } };
  const said = (id: unknown, at: string, outcome: object): object => ({ schema_version: 1, kind: 'feedback', request_id: id, trace_id: '0af7651916cd43dd8448eb211c80319c', at, outcome });
  await writeTraces(folder.path, [row!, judged]);
  await writeTraces(folder.path, [said(row!['request_id'], '2026-01-06T03:00:00Z', { feedback_score: 0.25 }), said(row!['request_id'], '2026-01-06T01:00:00Z', { feedback_score: 0.5 }), said('judged', '2026-01-06T01:00:00Z', { judge_score: 0.75 }), said('nobody', '2026-01-06T01:00:00Z', { feedback_score: 1 })] as Record<string, unknown>[]);
  const { rows, counts } = await read();
  expect(Object.fromEntries(rows.map(({ decision }) => [decision.id, decision.reward]))).toEqual({ [String(row!['request_id'])]: 0.25, judged: 0.75 });
  expect(counts).toMatchObject({ lateFeedback: 3, judged: 2 });
});

test('failures, empty answers and prompts that were asked again are known to be bad; errors of callers, clients that left and plain answers tell nothing', async () => {
  const shapes = [
    { outcome: { status: 200, latency_ms: 1, feedback_score: 1 } },
    { outcome: { status: 502, latency_ms: 1 } },
    { outcome: { status: 200, latency_ms: 1 }, signals: { empty: true } },
    { outcome: { status: 200, latency_ms: 1 }, signals: { error: 'stream_broken' } },
    { outcome: { status: 200, latency_ms: 1 } }, // asked again by the next
    { outcome: { status: 200, latency_ms: 1 }, signals: { retry_of: 'r4-4' } },
    { outcome: { status: 400, latency_ms: 1 }, signals: { error: 'bad_request' } },
    { outcome: { status: 200, latency_ms: 1 }, signals: { aborted: true, empty: true } },
    { outcome: { status: 200, latency_ms: 1, served_model: 'large', feedback_score: 0.5 }, selected_model: 'cheap' },
  ];
  await writeTraces(folder.path, await worldRows({ rows: shapes.length, seed: 4, change: (index) => shapes[index]! }));
  const { rows, counts } = await read();
  expect(Object.fromEntries(rows.map(({ decision }) => [decision.id.slice(3), decision.reward]))).toEqual({ 0: 1, 1: 0, 2: 0, 3: 0, 4: 0, 8: 0 });
  expect(rows.at(-1)!.outcome.quality).toEqual(new Map([['cheap', 0], ['large', 0.5]]));
  expect(counts).toMatchObject({ judged: 1, failed: 5, unlabelled: 3, undisturbed: 0 });
  // One of four answers that came was judged: a failure, which is always known, stands for a quarter.
  expect(rows.map(({ decision }) => decision.sampleWeight)).toEqual([1, 0.25, 0.25, 0.25, 0.25, 0.25]);

  const all = await read({ implicit: 'outcomes' });
  expect(all.counts).toMatchObject({ judged: 1, failed: 5, undisturbed: 1, unlabelled: 2 });
  expect(all.rows.every(({ decision }) => decision.sampleWeight === 1)).toBe(true);
});

test('decisions of nobody, propensities that are none, and features of another embedder or version are left out and counted', async () => {
  const changes = [{}, { strategy: 'default-order' }, { propensity: 0 }, { propensity: undefined }, { propensity: 'x' }, { features: undefined }, { features: [1, 2, 3] }, { embedder: { name: 'static', sha256: 'f'.repeat(64), dimensions: 256 } }, { features: [1], prompt: 'stored' }];
  await writeTraces(folder.path, await worldRows({ rows: changes.length, seed: 5, change: (index) => changes[index]! }));
  const { rows, counts } = await read();
  expect(rows.map(({ decision }) => decision.id)).toEqual(['r5-0', 'r5-8']);
  expect(rows[1]!.outcome).toMatchObject({ prompt: 'stored', features: undefined });
  expect(counts).toMatchObject({ undecided: 1, badPropensity: 3, noFeatures: 1, otherFeatures: 2, used: 2 });
});

test('bad lines and broken gzip are counted and named, and the rest is read', async () => {
  const rows = await worldRows({ rows: 300, seed: 6, stepMs: 1_000 });
  const [whole, lines, cut] = [rows.slice(0, 100), rows.slice(100, 200), rows.slice(200)];
  await writeTraces(folder.path, whole, { pod: 'whole' });
  const text = (part: readonly object[]): string => part.map((row) => `${JSON.stringify(row)}\n`).join('');
  await writeFile(join(folder.path, 'traces/2026-01-05/lines.jsonl.gz'), gzipSync(`${text(lines.slice(0, 50))}not json\n\n{"half": \n[1, 2]\n{"kind": "request"}\n${text(lines.slice(50))}`));
  const packed = gzipSync(text(cut));
  await writeFile(join(folder.path, 'traces/2026-01-05/cut.jsonl.gz'), packed.subarray(0, Math.floor(packed.length * 0.6)));
  await writeFile(join(folder.path, 'traces/2026-01-05/noise.jsonl.gz'), 'no gzip at all');
  const { counts, problems, rows: found } = await read();
  expect(found.length).toBeGreaterThan(210);
  expect(found.length).toBeLessThan(300);
  expect(problems).toEqual([
    expect.stringMatching(/^traces\/2026-01-05\/cut\.jsonl\.gz: broken gzip data \(Z_BUF_ERROR\); its first \d+ lines could be read$/), 'traces/2026-01-05/noise.jsonl.gz: broken gzip data (Z_DATA_ERROR); nothing of it could be read',
    'traces/2026-01-05/lines.jsonl.gz: 4 lines are no row',
  ]);
  expect(counts.badLines).toBe(4);
});

test('an empty window, one that nobody judged and one that is too large are refused with what to do', async () => {
  await expect(read()).rejects.toMatchObject({ code: 'empty_window', message: expect.stringMatching(/2026-01-05.*holds no object/) as string });
  await writeTraces(folder.path, await worldRows({ rows: 20, seed: 7, feedback: 0 }));
  await expect(read()).rejects.toMatchObject({ code: 'no_labels', message: expect.stringMatching(/Of the 20 requests.*\/v1\/feedback/) as string });
  expect((await read({ implicit: 'outcomes' })).counts).toMatchObject({ undisturbed: 20, used: 20 });
  await expect(read({ window: { from: new Date('2026-01-05T12:00:00Z'), to: new Date('2026-01-05T13:00:00Z') } })).rejects.toMatchObject({ code: 'empty_window', message: expect.stringContaining('1 objects but no request') as string });
  await expect(read({ diskBytes: 1_000 })).rejects.toMatchObject({ code: 'window_too_large', message: expect.stringContaining('docs/closed-loop.md') as string });
  expect((await readdir(temporary())).filter((name) => name.startsWith('pointsman-window-'))).toEqual([]);
});

test('a bucket gives the same rows as a folder; one that is away says so and leaves nothing behind', async () => {
  const rows = await worldRows({ rows: 40, seed: 8 });
  const keys = await writeTraces(folder.path, rows, { rowsPerObject: 10 });
  await using server = await startObjectStore();
  const bucket = await openObjectStore(`s3://${server.bucket}`, { endpoint: server.endpoint, credentials: { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey }, maxAttempts: 1 });
  try {
    for (const key of keys) await bucket.write(key, await readFile(join(folder.path, key)));
    expect(digest(await read({ store: bucket }))).toBe(digest(await read()));
    server.fail({ status: 503 });
    await expect(read({ store: bucket })).rejects.toMatchObject({ kind: 'unavailable', code: 'store_unavailable' });
  } finally {
    bucket.close();
  }
  await rename(join(folder.path, 'traces'), join(folder.path, 'elsewhere'));
  await expect(read()).rejects.toMatchObject({ code: 'empty_window' });
  expect((await readdir(temporary())).filter((name) => name.startsWith('pointsman-window-'))).toEqual([]);
});

test('the newest rows are kept when there are too many, and the newest fifth is held out without parting a moment', async () => {
  await writeTraces(folder.path, await worldRows({ rows: 100, seed: 9, change: (index) => ({ at: new Date(DAY.from.getTime() + Math.floor(index / 3) * 1_000).toISOString() }) }));
  const { rows, counts } = await read({ limit: 50 });
  expect(counts).toMatchObject({ used: 50, overLimit: 50 });
  const { training, held } = splitByTime(rows, 0.2);
  expect(training.length + held.length).toBe(50);
  expect(held[0]!.decision.at).toBeGreaterThan(training.at(-1)!.decision.at);
  expect(held.length).toBeGreaterThan(6);
});

test('a window is a length before now or between two moments, and what cannot be meant is refused', () => {
  const now = Date.parse('2026-01-10T12:00:00Z');
  const text = (window: Parameters<typeof parseWindow>[0]): string[] => Object.values(parseWindow(window, now)).map((date) => (date as Date).toISOString().slice(0, 13));
  expect(text({})).toEqual(['2026-01-03T12', '2026-01-10T12']);
  expect(text({ window: '12h' })).toEqual(['2026-01-10T00', '2026-01-10T12']);
  expect(text({ from: '2026-01-01', window: '2d' })).toEqual(['2026-01-01T00', '2026-01-03T00']);
  expect(text({ from: '2026-01-01', to: '2026-01-02T06:00Z' })).toEqual(['2026-01-01T00', '2026-01-02T06']);
  expect(daysOf(parseWindow({ from: '2026-01-30', to: '2026-02-01' }, now), 1)).toEqual(['2026-01-29', '2026-01-30', '2026-01-31', '2026-02-01']);
  for (const window of [{ window: '0d' }, { window: 'soon' }, { from: 'x' }, { from: '2026-01-02', to: '2026-01-01' }, { window: '400d' }, { from: '2026-01-01', to: '2026-01-02', window: '1d' }]) expect(() => parseWindow(window, now)).toThrow(/window of traces/);
});
