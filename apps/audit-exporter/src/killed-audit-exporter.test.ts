import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, spawnApp, startObjectStore, startPostgres, temporaryDirectory, type ObjectStoreFault, type RunningApp, type RunningObjectStore, type RunningPostgres } from '@pointsman/testing';
import { sleep } from '@pointsman/timing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exportedLines, openWriters, verified, type AuditWriters } from './export.fixture.ts';

let postgres: RunningPostgres;
beforeAll(async () => { postgres = await startPostgres(); });
afterAll(() => postgres[Symbol.asyncDispose]());

/** The same moments in every run: mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Kills it some requests to the store and some milliseconds from now: while it plans, writes, or notes what it wrote. */
async function killSomewhere(app: RunningApp, store: RunningObjectStore, random: () => number): Promise<void> {
  const at = store.requests.length + Math.floor(random() * 25);
  await eventually(() => expect(store.requests.length).toBeGreaterThanOrEqual(at), { timeoutMs: 60_000 });
  await sleep(random() * 15);
  await app.stop('SIGKILL');
}

/** Nothing is planned or waits for its manifest. */
async function settled({ database: { auditExports: exports } }: AuditWriters, rows: number): Promise<void> {
  await eventually(async () => {
    expect(await exports.plannedParts(1)).toEqual([]);
    expect(await exports.plannedManifests(1)).toEqual([]);
    expect((await exports.totals()).rows).toBe(rows);
  }, { timeoutMs: 120_000 });
}

test('killed fifteen times at random moments while rows come in, with a store that loses replies: each row is in one listed file, and the manifests prove it', async () => {
  await using directory = await temporaryDirectory();
  await using store = await startObjectStore();
  const url = await postgres.createDatabase();
  await using writers = await openWriters(url);
  const env = { ...store.env, DATABASE_URL: url, AUDIT_PART_ROWS: '3', AUDIT_EXPORT_INTERVAL: '100ms', AUDIT_LOCK_TTL: '100ms', HEALTH_PORT: '0', HEALTH_HOST: '127.0.0.1', NODE_COMPILE_CACHE: join(directory.path, 'compiled') };
  const all: string[] = [];
  const add = async (count: number, pod: string): Promise<void> => {
    const lines = writers.lines(count, { pod });
    all.push(...lines);
    await writers.append(lines);
  };
  const random = seeded(15);
  for (let round = 0; round < 15; round += 1) {
    await add(90, `gateway-${String(round % 4)}`);
    if (round % 3 === 0) store.fail({ lostReply: true, match: /^PUT/, times: 3 });
    if (round % 3 === 1) store.fail({ status: 503, times: 2 });
    await using app = await spawnApp('audit-exporter', { env });
    const adding = add(10, 'gateway-late');
    await killSomewhere(app, store, random);
    await adding;
  }
  await using last = await spawnApp('audit-exporter', { env });
  await settled(writers, all.length);
  expect(await last.stop()).toBe(0);
  expect(await exportedLines(store)).toEqual(all.sort());
  const { totals } = writers.database.auditExports;
  const report = await verified(store, { ledger: await totals() });
  expect(report).toMatchObject({ problems: [], rows: all.length, parts: store.keys().filter((key) => key.endsWith('.jsonl')).length });
  expect(report.notes).toEqual(['Signatures were not checked: no public key was given.']);
}, 600_000);

test('100,000 rows with an exporter that is killed ten times and a store that comes and goes: the manifests prove that all are there, in bounded memory; an edited, a removed and a reordered row are found', async () => {
  await using directory = await temporaryDirectory();
  await using store = await startObjectStore({ buckets: [{ name: 'audit', objectLock: true }] });
  const url = await postgres.createDatabase();
  await using writers = await openWriters(url);
  const exports = writers.database.auditExports;
  for (let batch = 0; batch < 50; batch += 1) await writers.append(writers.lines(2_000, { pod: `gateway-${String(batch % 5)}` }));
  const env = { ...store.env, DATABASE_URL: url, AUDIT_PART_ROWS: '1000', AUDIT_RETENTION_DAYS: '1', AUDIT_EXPORT_INTERVAL: '100ms', AUDIT_LOCK_TTL: '100ms', HEALTH_PORT: '0', HEALTH_HOST: '127.0.0.1', NODE_COMPILE_CACHE: join(directory.path, 'compiled') };
  const random = seeded(100_000);
  const faults: readonly ObjectStoreFault[] = [{ status: 503, times: 2 }, { lostReply: true, match: /^PUT/, times: 2 }, { reset: true, times: 2 }];
  for (let kill = 0; kill < 10; kill += 1) {
    await using app = await spawnApp('audit-exporter', { env });
    const fault = faults[kill % 4];
    if (fault !== undefined) store.fail(fault);
    await killSomewhere(app, store, () => random() / 3);
  }
  // Every one of them was killed at work.
  expect((await exports.totals()).rows).toBeLessThan(100_000);
  await using last = await spawnApp('audit-exporter', { env: { ...env, AUDIT_PART_ROWS: '10000' } });
  await store.stop();
  await store.restart();
  await settled(writers, 100_000);
  const peak = /VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${String(last.pid)}/status`, 'utf8'))?.[1];
  // The process alone takes 160 MB; all rows at once would add some 400 MB.
  expect(Number(peak)).toBeLessThan(512 * 1_024);
  expect(await last.stop()).toBe(0);
  const ledger = await exports.totals();
  expect(await verified(store, { ledger })).toMatchObject({ problems: [], rows: 100_000 });

  // One row of each of three files is another one, is gone, or has changed places with the next.
  const keys = store.keys().filter((key) => key.endsWith('.jsonl'));
  const [edited, shortened, turned] = [keys[1], keys[Math.floor(keys.length / 2)], keys.at(-2)];
  expect(new Set([edited, shortened, turned]).size).toBe(3);
  const linesOf = async (key: string | undefined): Promise<string[]> => String(await store.get(key ?? '')).split('\n').filter((line) => line !== '');
  const nameOf = (line: string | undefined): { readonly chain: string; readonly seq: number } => {
    const { chain, seq } = JSON.parse(line ?? '{}') as { readonly chain: string; readonly seq: number };
    return { chain, seq };
  };
  const [ofEdited, ofShortened, ofTurned] = await Promise.all([edited, shortened, turned].map(linesOf)) as [string[], string[], string[]];
  const at = 400;
  const [changed, removed, moved, next] = [ofEdited[at], ofShortened[at], ofTurned[at], ofTurned[at + 1]].map(nameOf);
  expect(next?.chain).toBe(moved?.chain);
  const damaged = new Map([
    [edited, ofEdited.with(at, String(ofEdited[at]).replace('"actor":"master"', '"actor":"nobody"'))],
    [shortened, ofShortened.toSpliced(at, 1)],
    [turned, ofTurned.toSpliced(at, 2, String(ofTurned[at + 1]), String(ofTurned[at]))],
  ]);
  const report = await verified({ keys: () => store.keys(), get: async (key) => (damaged.has(key) ? Buffer.from((damaged.get(key) ?? []).map((line) => `${line}\n`).join('')) : await store.get(key)) }, { ledger });
  const named = (row: { readonly chain: string; readonly seq: number } | undefined): string => `${row?.chain ?? ''} ${String(row?.seq)}`;
  expect(report.problems.filter(({ kind }) => kind !== 'part-edited').map((problem) => `${problem.kind} ${named(problem)}, ${String(problem.rows)}`).sort()).toEqual([
    // The ledger misses a row too; which one, the chain tells.
    `edited ${named(changed)}, 1`, 'missing  0, 1', `missing ${named(removed)}, 1`, `reordered ${named(moved)}, 1`,
  ].sort());
  expect(new Set(report.problems.filter(({ kind, file }) => kind === 'part-edited' && file.endsWith('.jsonl')).map(({ file }) => file))).toEqual(new Set([edited, shortened, turned]));
}, 600_000);
