import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { readTrainerSettings } from './settings.ts';

const run = promisify(execFile);
const main = join(import.meta.dirname, 'main.ts');

test('wrong settings are all named at once', () => {
  expect(() => readTrainerSettings({ TRAIN_SEED: 'x', TRAIN_EMBEDDER: 'magic', TRAIN_WINDOW: 'soon', TRAIN_NAME: '../x' }, 0)).toThrow(/TRAIN_SEED[^]*TRAIN_EMBEDDER[^]*TRAIN_NAME[^]*TRAIN_DATA[^]*TRAIN_WINDOW/);
  expect(() => readTrainerSettings({ TRAIN_DATA: 'a.jsonl', TRAIN_VERSION: 'next' }, 0)).toThrow(/TRAIN_VERSION[^]*TRAIN_OUT/);
});

test('a training job writes an artifact and ends with 0; a second one finds the directory taken and ends with 1', async () => {
  await using directory = await temporaryDirectory();
  const data = join(directory.path, 'data.jsonl');
  await writeFile(data, Array.from({ length: 40 }, (_, index) => JSON.stringify({ id: `${index}`, prompt: `${index % 2 === 0 ? 'easy' : 'hard'} question ${index}`, scores: { a: 1, b: index % 2 } })).join('\n'));
  const out = join(directory.path, 'out');
  const env = { PATH: process.env['PATH'], TRAIN_STRATEGY: 'svm', TRAIN_DATA: data, TRAIN_OUT: out, TRAIN_EMBEDDER: 'none', LOG_LEVEL: 'info' };
  const { stdout } = await run(process.execPath, [main], { env });
  expect(stdout).toContain('"msg":"model trained"');
  expect(JSON.parse(await readFile(join(out, 'manifest.json'), 'utf8'))).toMatchObject({ strategy: 'llmrouter-svm', candidates: ['a', 'b'] });
  await expect(run(process.execPath, [main], { env })).rejects.toMatchObject({ code: 1, stdout: expect.stringContaining('is not empty') });
});

/** Requests to two models, drawn evenly: `large` answers everything, `small` only what is short. */
function traces(count: number): string {
  return Array.from({ length: count }, (_, index) => {
    const isLong = index % 2 === 0;
    const selected = index % 4 < 2 ? 'small' : 'large';
    return `${JSON.stringify({
      schema_version: 1, request_id: `r${index}`, trace_id: '0af7651916cd43dd8448eb211c80319c', at: new Date(Date.parse('2026-01-05T00:00:00Z') + index * 1_000).toISOString(), strategy: 'llmrouter-knn', model_version: 'v1',
      prompt: isLong ? `prove this theorem at length, step by step, number ${index}, and then once more` : `hi ${index}`, candidates: ['small', 'large'], scores: [0.5, 0.5], propensity: 0.5, selected_model: selected,
      outcome: { status: 200, latency_ms: 1, cost_usd: selected === 'large' ? 0.01 : 0.001, feedback_score: selected === 'large' || !isLong ? 1 : 0 },
    })}\n`;
  }).join('');
}

test('a Job makes a version of the traces of a window, publishes it with its report, and never overwrites one', async () => {
  await using directory = await temporaryDirectory();
  const day = join(directory.path, 'traces', '2026-01-05');
  await mkdir(day, { recursive: true });
  await writeFile(join(day, 'pod-0.jsonl.gz'), gzipSync(traces(300)));
  const env = { PATH: process.env['PATH'], OBJECT_STORE_URL: `file://${directory.path}`, TRAIN_STRATEGY: 'svm', TRAIN_FROM: '2026-01-05', TRAIN_TO: '2026-01-06', TRAIN_EMBEDDER: 'none', TRAIN_VERSION: 'next', LOG_LEVEL: 'info' };
  const { stdout } = await run(process.execPath, [main], { env });
  expect(stdout).toMatch(/"msg":"window read"[^]*"folder":"models\/router-v1"/);
  const second = await run(process.execPath, [main], { env });
  expect(second.stdout).toContain('"folder":"models/router-v2"');
  const manifest = async (version: string) => JSON.parse(await readFile(join(directory.path, 'models', `router-${version}`, 'manifest.json'), 'utf8')) as { version: string; training: { rows: number; dataset_sha256: string; metrics: object } };
  const [first, next] = [await manifest('v1'), await manifest('v2')];
  expect(first).toMatchObject({ version: 'v1', candidates: ['large', 'small'], training: { rows: 240, seed: 1, metrics: { holdout_rows: 60, holdout_drawn_rows: 60 } } });
  expect(next).toMatchObject({ ...first, version: 'v2', files: expect.any(Array) as unknown });
  expect(await readdir(join(directory.path, 'models', 'router-v1', 'report'))).toContain('cost-quality.png');
  await expect(run(process.execPath, [main], { env: { ...env, TRAIN_VERSION: 'v2' } })).rejects.toMatchObject({ code: 1, stdout: expect.stringContaining('is in the store already') });
  await expect(run(process.execPath, [main], { env: { ...env, TRAIN_FROM: '2026-02-05', TRAIN_TO: '2026-02-06' } })).rejects.toMatchObject({ code: 1, stdout: expect.stringContaining('Nothing to learn from between 2026-02-05') });
}, 60_000);
