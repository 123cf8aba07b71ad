import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkSignature, generateSigningKeys, manifestDigest, MANIFEST_FILE, readPublicKeys, SIGNATURE_FILE } from '@pointsman/model-artifacts';
import { openObjectStore } from '@pointsman/object-store';
import { temporaryDirectory, type TemporaryDirectory } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mostly, trueValue, WORLD, worldRows, writeTraces, type PromptKind, type WorldOptions } from '../simulated-world.fixture.ts';
import { trainWindow, type TrainedWindow } from '../train-window.ts';
import { readTraceWindow, type WindowData } from '../window/read-window.ts';
import { gateTable, judgeReport, runGate } from './quality-gate.ts';

const NONE = { name: 'none', sha256: '', dimensions: 0 } as const;
const ARGS = { landmarks: 80 };
const keys = generateSigningKeys();
let folder: TemporaryDirectory;
let data: WindowData;
let good: TrainedWindow;

async function windowOf(options: WorldOptions): Promise<WindowData> {
  await using traces = await temporaryDirectory();
  await writeTraces(traces.path, await worldRows(options));
  const store = await openObjectStore(`file://${traces.path}`);
  try {
    return await readTraceWindow({ store, window: { from: new Date('2026-01-01T00:00:00Z'), to: new Date('2026-02-01T00:00:00Z') }, embedder: NONE, lateDays: 0 });
  } finally {
    store.close();
  }
}

const path = (name: string): string => join(folder.path, name);
const train = (name: string, window: WindowData, seed = 1) => trainWindow({ data: window, strategy: 'kernel', outDirectory: path(name), name: 'router', version: 'v2', embedder: 'none', args: ARGS, seed, signKey: keys.privateKeyPem, reportDirectory: path(`${name}-report`), tradeoff: 1 });

beforeAll(async () => {
  folder = await temporaryDirectory();
  data = await windowOf({ rows: 2_000, seed: 1 });
  good = await train('good', data);
}, 60_000);
afterAll(() => folder[Symbol.asyncDispose]());

/** A router that learned the world upside down. */
async function trainBad(name: string): Promise<string> {
  const rows = data.rows.map(({ outcome, decision }) => ({ decision, outcome: { ...outcome, quality: new Map([...outcome.quality].map(([model, value]) => [model, 1 - value])) } }));
  await trainWindow({ data: { ...data, rows }, strategy: 'kernel', outDirectory: path(name), name: 'router', version: 'v3', embedder: 'none', args: ARGS });
  return path(name);
}

test('a router learned from one known model per row finds the optimum of the world, and the estimate holds its true quality', () => {
  const optimum = trueValue((kind) => WORLD.kinds[kind].quality.indexOf(Math.max(...WORLD.kinds[kind].quality) as never));
  const { quality, shares } = good.report!.candidate;
  expect(good).toMatchObject({ rows: 1_600, heldRows: 400, problem: undefined, candidates: WORLD.models.toSorted() });
  expect(quality.dr.low).toBeLessThan(optimum.quality);
  expect(quality.dr.high).toBeGreaterThan(optimum.quality - 0.03);
  expect(shares['large']).toBeGreaterThan(0.35);
  expect(good.report!.difference.qualityAtEqualCost.low).toBeGreaterThan(0.05);
  expect(good.manifest.training.metrics).toMatchObject({ holdout_rows: 400, holdout_drawn_rows: 400, holdout_quality_dr: expect.any(Number) as number });
});

test('the same rows and seed give the same digest, another seed another; the signature is over what was written', async () => {
  const again = await train('again', data);
  expect(manifestDigest(again.manifestBytes)).toBe(manifestDigest(good.manifestBytes));
  expect(manifestDigest((await train('other', data, 2)).manifestBytes)).not.toBe(manifestDigest(good.manifestBytes));
  expect(checkSignature(await readFile(join(path('good'), MANIFEST_FILE)), await readFile(join(path('good'), SIGNATURE_FILE)), readPublicKeys(keys.publicKeyPem, 'test'))).toBeDefined();
});

test('model card, plots as PNG, and a page lie beside the artifact', async () => {
  expect(await readdir(path('good-report'))).toEqual(['MODEL_CARD.md', 'calibration.png', 'calibration.svg', 'cost-quality.png', 'cost-quality.svg', 'report.html', 'report.json', 'shares.png', 'shares.svg']);
  expect((await readFile(join(path('good-report'), 'shares.png'))).subarray(1, 4).toString()).toBe('PNG');
  expect(await readFile(join(path('good'), 'MODEL_CARD.md'), 'utf8')).toMatch(/on its own training rows \| training_brier 0\.\d+, training_ece 0\.\d+ \|[^]*On requests it has not seen[^]*400 decisions[^]*\| what served \| 0\.\d+ \[/);
  expect(await readFile(join(path('good-report'), 'report.html'), 'utf8')).toContain('<svg');
  expect(JSON.parse(await readFile(join(path('good-report'), 'report.json'), 'utf8'))).toMatchObject({ candidate_model: { name: 'router', version: 'v2' }, serving_model: null, rows: 400 });
});

test('a better router passes, with reasons; the rows it learned from do not count', async () => {
  const verdict = await runGate({ artifact: path('good'), rows: data.rows, tradeoff: 1 });
  expect(verdict).toMatchObject({ passed: true, candidate: { name: 'router', version: 'v2' }, serving: undefined });
  expect(verdict.checks.find(({ name }) => name === 'rows')).toMatchObject({ passed: true, value: 400 });
  const table = gateTable(verdict).map((row) => row.join(' | ')).join('\n');
  expect(table).toMatch(/quality \| passed \| at equal cost \(0\.0\d+ against 0\.0\d+ USD a request\) quality changes by \+0\.\d+, 95 % from \+0\.\d+ to \+0\.\d+; at worst no more than 0\.0200 is lost/);
  expect(JSON.parse(JSON.stringify(verdict))).toMatchObject({ passed: true });
});

test('a bad router is refused against the good one that serves, and the good one passes against the bad one', async () => {
  const bad = await trainBad('bad');
  const refused = await runGate({ artifact: bad, serving: path('good'), rows: data.rows, tradeoff: 1 });
  expect(refused.passed).toBe(false);
  expect(refused.checks.filter(({ passed }) => !passed).map(({ name }) => name)).toContain('quality');
  expect(refused.checks.find(({ name }) => name === 'quality')!.reason).toMatch(/changes by −0\.\d+, 95 % from −.*more than 0\.0200 may be lost/);
  expect((await runGate({ artifact: path('good'), serving: bad, rows: data.rows, tradeoff: 1 })).passed).toBe(true);
  // The same router twice: no difference at all, whatever the noise.
  const same = await runGate({ artifact: path('good'), serving: path('again'), rows: data.rows, tradeoff: 1 });
  expect(same).toMatchObject({ passed: true, report: { difference: { quality: { value: 0, low: 0, high: 0 } } } });
});

test('too few rows, a model that is missing, and one that was hardly tried are reasons to refuse', async () => {
  const failed = async (options: Parameters<typeof runGate>[0]): Promise<string[]> => (await runGate(options)).checks.filter(({ passed }) => !passed).map(({ name }) => name);
  expect(await failed({ artifact: path('good'), rows: data.rows.slice(0, 1_700), tradeoff: 1 })).toContain('rows');
  expect(await failed({ artifact: path('good'), rows: data.rows, limits: { minRows: 401, minEffectiveRows: 5_000 } })).toEqual(['rows', 'effective-rows']);

  const without = { ...data, rows: data.rows.filter(({ decision }) => decision.selected !== 'talker') };
  await trainWindow({ data: without, strategy: 'kernel', outDirectory: path('three'), name: 'router', version: 'v4', embedder: 'none', args: ARGS });
  const verdict = await runGate({ artifact: path('three'), serving: path('good'), rows: data.rows, tradeoff: 1 });
  expect(verdict.checks.find(({ name }) => name === 'candidates')).toMatchObject({ passed: false, reason: 'it was not trained on talker' });
  expect(verdict.warnings.join()).toContain('no column for talker');

  const rare = (await windowOf({ rows: 600, seed: 3, from: new Date('2026-01-20T00:00:00Z'), policy: mostly(1, 0.001) })).rows;
  expect(await failed({ artifact: path('good'), rows: rare, tradeoff: 1 })).toEqual(expect.arrayContaining(['support', 'effective-rows']));
});

test('rows that all went to one model without a draw tell nothing: refused, with what to do', async () => {
  const one = await windowOf({ rows: 300, seed: 4, from: new Date('2026-01-20T00:00:00Z'), policy: mostly(2, 0) });
  const verdict = await runGate({ artifact: path('good'), rows: one.rows });
  expect(verdict).toMatchObject({ passed: false, report: undefined });
  expect(verdict.checks.find(({ name }) => name === 'rows')!.reason).toMatch(/Only 0 decisions.*Set exploration.*300 rows in the window, 300 of them newer/);
  const trained = await train('one-arm', one);
  expect(trained).toMatchObject({ report: undefined, candidates: ['large'] });
  expect(await readFile(join(path('one-arm'), 'MODEL_CARD.md'), 'utf8')).toContain('Nothing can be told: Only 0 decisions');
});

test('of every kind of prompt the router prefers a model that is near the best', () => {
  const { shares } = good.report!.candidate;
  const kinds = Object.keys(WORLD.kinds) as PromptKind[];
  expect(kinds).toHaveLength(4);
  expect(shares['coder']! + shares['large']!).toBeGreaterThan(0.6);
  expect(shares['cheap']).toBeLessThan(0.35);
});

test('what is probably better but may be worse is refused: the lower end counts, not the estimate', () => {
  const report = good.report!;
  const interval = (low: number, value: number) => ({ ...report, difference: { ...report.difference, qualityAtEqualCost: { low, value, high: 2 * value - low, standardError: 0.01 } } });
  const verdict = judgeReport(interval(-0.03, 0.05));
  expect(verdict.checks.find(({ name }) => name === 'quality')).toMatchObject({ passed: false, value: -0.03, limit: -0.02 });
  expect(verdict.passed).toBe(false);
  expect(judgeReport(interval(-0.019, 0)).passed).toBe(true);
});
