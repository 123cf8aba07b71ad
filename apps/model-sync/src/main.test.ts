import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, spawnApp, startObjectStore, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { createWorld, MODEL } from './model-sync.fixture.ts';

async function run(args: readonly string[], env: Readonly<Record<string, string>>): Promise<{ readonly code: number | null; readonly out: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], { env: { PATH: process.env['PATH'] ?? '', ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text; });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, out };
}

test('settings that are not usable are all listed, and it exits with 78', async () => {
  const { code, out } = await run(['--oops'], { MODEL_CACHE: 'node', OBJECT_STORE_URL: 'file:///tmp/x', MODEL_SIGNING_PUBLIC_KEYS: '/does/not/exist.pem' });
  expect(code).toBe(78);
  expect(out).toMatch(/"arguments".*"MODEL_NODE_CACHE_DIR"/);
  const keys = await run([], { OBJECT_STORE_URL: 'file:///tmp/x', MODEL_SIGNING_PUBLIC_KEYS: '/does/not/exist.pem' });
  expect(keys.code).toBe(78);
  expect(keys.out).toContain('/does/not/exist.pem cannot be read (ENOENT)');
});

test('--help tells the variables and exits with 0', async () => {
  const { code, out } = await run(['--help'], {});
  expect(code).toBe(0);
  expect(out).toContain('MODEL_SIGNING_PUBLIC_KEYS');
});

test('--once as an init container leaves the model there and exits with 0', async () => {
  await using world = await createWorld({ startObjectStore, temporaryDirectory });
  await world.upload('v42');
  await world.want('v42');
  expect((await run(['--once'], world.env())).code).toBe(0);
  expect(await readFile(join(world.directory, 'models', MODEL, 'current', 'model.onnx'), 'utf8')).toBe('weights of v42');
});

test('it says where it listens, serves health there, and ends with 0 on SIGTERM', async () => {
  await using world = await createWorld({ startObjectStore, temporaryDirectory });
  const revision = await world.upload('v42');
  await world.want('v42');
  await using app = await spawnApp('model-sync', { env: world.env() });
  await eventually(async () => expect(await (await fetch(`${app.url}/health/model-sync`)).json()).toMatchObject({ revision, models: [{ name: MODEL, served: false, problem: expect.stringContaining('gateway.pid does not exist') as string }] }), { timeoutMs: 90_000 });
  expect(await app.stop()).toBe(0);
}, 120_000);
