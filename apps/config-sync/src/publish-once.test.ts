import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { spawnApp, startObjectStore, temporaryDirectory } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPod } from './pod.fixture.ts';

const GOOD = 'model_list:\n  - { model_name: chat, litellm_params: { model: openai/gpt-4o } }\n';

let compiled: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeAll(async () => {
  compiled = await temporaryDirectory();
});
afterAll(() => compiled[Symbol.asyncDispose]());

/** Runs the app to its end. */
async function run(args: readonly string[], env: Readonly<Record<string, string>>): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], { env: { PATH: process.env['PATH'] ?? '', NODE_COMPILE_CACHE: compiled.path, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await once(child, 'close');
  return { code: child.exitCode, output };
}

test('--once publishes stable without a gateway and ends with 0, and ends with 0 again while the store is away', async () => {
  await using store = await startObjectStore();
  await using pod = await startPod({ spawnApp, temporaryDirectory });
  await store.put('prod/config.yaml', GOOD);
  await store.put('prod/canary.yaml', 'broken: true\n');
  await store.put('prod/release.json', JSON.stringify({ stable: { config_key: 'prod/config.yaml' }, canary: { config_key: 'prod/canary.yaml', percent: 100, started_at: '2026-01-01T00:00:00Z', started_by: 'ann' } }));
  expect(await run(['--once'], { ...pod.env, ...store.env })).toMatchObject({ code: 0 });
  expect(await readFile(join(pod.configDir, 'config.yaml'), 'utf8')).toBe(GOOD);
  const revision = await pod.published();
  await store.stop();
  expect(await run(['--once'], { ...pod.env, ...store.env })).toMatchObject({ code: 0 });
  expect(await pod.published()).toBe(revision);
}, 120_000);

test('--once waits for a good configuration, and ends with 1 and the reason when none comes in time', async () => {
  await using directory = await temporaryDirectory();
  const objects = join(directory.path, 'objects');
  await mkdir(join(objects, 'prod'), { recursive: true });
  await writeFile(join(objects, 'prod', 'config.yaml'), 'model_list: nonsense\n');
  const env = { CONFIG_DIR: join(directory.path, 'config'), OBJECT_STORE_URL: `file://${objects}`, CONFIG_SYNC_INTERVAL: '100ms' };
  const refused = await run(['--once'], { ...env, CONFIG_SYNC_ONCE_TIMEOUT: '3s' });
  expect(refused.code).toBe(1);
  expect(refused.output).toMatch(/No valid configuration within 3000 ms: .*model_list: expected a list/);
  const waiting = run(['--once'], { ...env, CONFIG_SYNC_ONCE_TIMEOUT: '30s' });
  await writeFile(join(objects, 'prod', 'config.yaml'), GOOD);
  expect(await waiting).toMatchObject({ code: 0 });
}, 120_000);

test('settings that are not usable end with 78 and every problem, --help with 0 and the text', async () => {
  const bad = await run(['--onec'], { S3_BUCKET: 'pointsman' });
  expect(bad).toMatchObject({ code: 78, output: expect.stringContaining('is no option of config-sync') as string });
  const unset = await run([], { HEALTH_PORT: 'eighty' });
  expect(unset).toMatchObject({ code: 78, output: expect.stringMatching(/HEALTH_PORT.*OBJECT_STORE_URL/) as string });
  expect(await run(['--help'], {})).toMatchObject({ code: 0, output: expect.stringContaining('--once') as string });
}, 120_000);
