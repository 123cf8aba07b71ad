import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { connectDatabase } from '@pointsman/database';
import { seededRandom } from '@pointsman/routing';
import { startPostgres, temporaryDirectory, type TemporaryDirectory } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand } from '../run-command.ts';

const MODELS = ['cheap', 'large', 'maths'];
const COST = [0.0005, 0.01, 0.002];
/** Chance of a good answer: plain questions, hard questions. */
const QUALITY = { plain: [0.85, 0.9, 0.3], hard: [0.15, 0.85, 0.8] } as const;
let folder: TemporaryDirectory;

const path = (name: string): string => join(folder.path, name);

async function run(...argv: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly error: string }> {
  const [out, error]: [string[], string[]] = [[], []];
  const code = await runCommand(argv, { env: {}, columns: undefined, print: (text) => out.push(text), printError: (text) => error.push(text) });
  return { code, out: out.join('\n'), error: error.join('\n') };
}

/** Requests of one day, drawn evenly among three models of known quality. */
function rows(count: number, { upsideDown = false }: { readonly upsideDown?: boolean } = {}): string {
  const random = seededRandom(5);
  return Array.from({ length: count }, (_, index) => {
    const kind = random() < 0.5 ? 'plain' : 'hard';
    const model = Math.floor(random() * 3);
    const isGood = random() < QUALITY[kind][model]! !== upsideDown;
    return `${JSON.stringify({
      schema_version: 1, request_id: `r${String(index)}`, trace_id: '0af7651916cd43dd8448eb211c80319c', at: new Date(Date.parse('2026-01-05T00:00:00Z') + index * 20_000).toISOString(), strategy: 'simple-shuffle', model_version: '',
      prompt: kind === 'plain' ? `hi, how are you today ${String(index)}` : `Prove that 3*x^2 + ${String(index)} = 0 has no real root, and compute the integral step by step`,
      candidates: MODELS, scores: [0, 0, 0], propensity: 1 / 3, selected_model: MODELS[model], outcome: { status: 200, latency_ms: 1, cost_usd: COST[model], feedback_score: isGood ? 1 : 0 },
    })}\n`;
  }).join('');
}

async function writeDay(store: string, text: string): Promise<void> {
  await mkdir(join(path(store), 'traces', '2026-01-05'), { recursive: true });
  await writeFile(join(path(store), 'traces', '2026-01-05', 'pod-0.jsonl.gz'), gzipSync(text));
}

const WINDOW = ['--from', '2026-01-05', '--to', '2026-01-06'] as const;
const traces = (store = 'store'): readonly string[] => ['--traces', `file://${path(store)}`, ...WINDOW];
const TRAIN = ['train', '--strategy', 'kernel', '--embedder', 'none', '--name', 'router', '--arg', 'landmarks=60'] as const;

beforeAll(async () => {
  folder = await temporaryDirectory();
  await writeDay('store', `${rows(1_200)}not json\n`);
  await writeDay('upside-down', rows(1_200, { upsideDown: true }));
  expect(await run(...TRAIN, ...traces('upside-down'), '--out', path('bad'), '--version', 'v3', '--json')).toMatchObject({ code: 0 });
}, 60_000);
afterAll(() => folder[Symbol.asyncDispose]());

test('a model is trained from a window of traces, told of with its estimates, and its report lies beside it', async () => {
  const { code, out, error } = await run(...TRAIN, ...traces(), '--out', path('good'), '--version', 'v2');
  expect([code, error]).toEqual([0, 'reading traces …\nreading the data …\nmaking features …\ntraining …\nwriting the artifact …']);
  expect(out).toMatch(/Trained router v2[^]*rows +960\n[^]*1200 rows of 1200 requests[^]*Left out: 1 lines that are no rows\.[^]*Damaged: traces\/2026-01-05\/pod-0\.jsonl\.gz: 1 line is no row[^]*On the 240 newest rows[^]*what served +0\.\d+ \[[^]*at equal cost[^]*pointsman gate --artifact/);
  expect(await readdir(path('good.report'))).toContain('report.html');
  const again = JSON.parse((await run(...TRAIN, ...traces(), '--out', path('again'), '--version', 'v2', '--json')).out) as { manifest_sha256: string; held_rows: number; counts: object };
  expect(again).toMatchObject({ held_rows: 240, counts: { used: 1200, badLines: 1 } });
  expect(JSON.parse(await readFile(path('good/manifest.json'), 'utf8'))).toEqual(JSON.parse(await readFile(path('again/manifest.json'), 'utf8')));
}, 60_000);

test('evaluate tells what a model would get on requests that it has not seen', async () => {
  const { code, out } = await run('evaluate', '--artifact', path('good'), ...traces(), '--serving', path('bad'));
  expect(code).toBe(0);
  expect(out).toMatch(/240 of them are newer than what .* learned from; 240 of those were drawn[^]*router +quality, DR \[95 %\] +SNIPS[^]*router v3 \(serving\) +0\.[^]*router v2 +0\.[^]*difference +\+0\./);
  expect(JSON.parse((await run('evaluate', '--artifact', path('good'), ...traces(), '--json')).out)).toMatchObject({ rows: 240, serving_model: null, difference: { qualityAtEqualCost: { low: expect.any(Number) as number } } });
}, 60_000);

test('the gate lets a better model pass and refuses a worse one, with reasons', async () => {
  const passed = await run('gate', '--artifact', path('good'), '--serving', path('bad'), ...traces());
  expect(passed).toMatchObject({ code: 0, out: expect.stringMatching(/quality +passed +at equal cost[^]*Passed: router v2 against router v3\.$/) as string });
  const refused = await run('gate', '--artifact', path('bad'), '--serving', path('good'), ...traces());
  expect(refused).toMatchObject({ code: 1, out: expect.stringMatching(/quality +REFUSED +at equal cost .* changes by −0\.[^]*Refused: router v3 against router v2\.$/) as string });
  const json = JSON.parse((await run('gate', '--artifact', path('bad'), '--serving', path('good'), ...traces(), '--json')).out) as { checks: object[] };
  expect(json).toMatchObject({ passed: false, forced: false, limits: { margin: 0.02 }, candidate: { name: 'router', version: 'v3' } });
  expect(json.checks).toContainEqual(expect.objectContaining({ name: 'quality', passed: false }));
}, 60_000);

test('force needs an actor and the audit log, and is written there before it passes', async () => {
  const force = ['gate', '--artifact', path('bad'), '--serving', path('good'), ...traces(), '--force'] as const;
  expect(await run(...force)).toMatchObject({ code: 1, error: expect.stringContaining('--force needs --actor') as string });
  const without = await run(...force, '--actor', 'ada', '--database', 'postgres://127.0.0.1:1/none');
  expect(without).toMatchObject({ code: 1, error: expect.stringContaining('cannot write the audit log') as string });
  expect(without.out).not.toContain('forced by');

  await using postgres = await startPostgres();
  const url = await postgres.createDatabase();
  const database = connectDatabase({ url, applicationName: 'test' });
  try {
    await database.migrate(AbortSignal.timeout(30_000));
    const forced = await run(...force, '--actor', 'ada@example.com', '--database', url);
    expect(forced).toMatchObject({ code: 0, out: expect.stringMatching(/Refused, and forced by ada@example\.com: router v3 against router v2\.$/) as string });
    const { rows } = await database.audit.read(undefined, 100, AbortSignal.timeout(10_000));
    expect(rows).toContainEqual(expect.objectContaining({
      actor: 'ada@example.com', action: 'model.gate.force', resource: 'model:router', before: { serving: { name: 'router', version: 'v2' } },
      after: expect.objectContaining({ version: 'v3', refused: expect.arrayContaining([expect.objectContaining({ check: 'quality', reason: expect.stringContaining('may be lost') as string })]) as unknown }) as object,
    }));
  } finally {
    await database.close();
  }
}, 90_000);

test('what cannot be meant, and what cannot be read, is told in one line', async () => {
  const refusal = async (...argv: readonly string[]): Promise<string> => {
    const { code, error } = await run(...argv);
    expect(code).toBe(1);
    return error;
  };
  const out = ['--out', path('never')] as const;
  expect(await refusal(...TRAIN, ...out)).toMatch(/--data, or a store of traces with --traces/);
  expect(await refusal(...TRAIN, ...out, ...traces(), '--data', 'x.jsonl')).toMatch(/not both/);
  expect(await refusal(...TRAIN, ...out, '--data', 'x.jsonl', '--window', '7d')).toMatch(/are of --traces/);
  expect(await refusal(...TRAIN, ...out, '--traces', `file://${path('store')}`, '--window', 'soon')).toMatch(/window of traces cannot be read: its length must be such as 7d/);
  expect(await refusal(...TRAIN, ...out, '--traces', `file://${path('store')}`, '--from', '2025-01-01', '--to', '2025-01-02')).toMatch(/Nothing to learn from between 2025-01-01/);
  expect(await refusal(...TRAIN, ...out, '--traces', `file://${path('nowhere')}`, ...WINDOW)).toMatch(/object store: /);
  expect(await refusal('gate', '--artifact', path('bad'))).toMatch(/--traces is missing/);
  expect(await refusal('gate', '--artifact', path('nothing'), ...traces())).toMatch(/cannot read/);
  expect(await refusal('gate', '--artifact', path('bad'), ...traces(), '--margin', '2')).toMatch(/number from 0 to 1/);
  expect(await readdir(folder.path)).not.toContain('never');
});
