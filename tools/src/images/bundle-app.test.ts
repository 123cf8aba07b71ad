import { spawn } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort, spawnApp, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { bundleApp } from './bundle-app.ts';
import { buildWords, findEngine, saveWords } from './container-engine.ts';
import { imageLimits, sizeProblem } from './image-limits.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const KEY = 'sk-0123456789abcdef0123';
const CONFIG = `model_list:
  - { model_name: auto, litellm_params: { model: simulated/swift } }
  - { model_name: auto, litellm_params: { model: simulated/sage } }
router_settings:
  strategies: { auto: { routing_strategy: llmrouter-hybrid } }
`;

test('a bundled gateway serves with nothing of the checkout around, learned routing and embedded database included, and ends with 0', async () => {
  await using directory = await temporaryDirectory();
  const out = join(directory.path, 'opt');
  const bundle = await bundleApp({ root, app: 'gateway', out });
  await readOnly(out);
  await mkdir(join(directory.path, 'home'));
  await writeFile(join(directory.path, 'config.yaml'), CONFIG);
  await using gateway = await spawnApp('gateway', {
    entry: join(out, 'main.js'),
    env: { PORT: '0', HOST: '127.0.0.1', CONFIG_PATH: join(directory.path, 'config.yaml'), POINTSMAN_HOME: join(directory.path, 'home'), LITELLM_MASTER_KEY: KEY },
  });
  const reply = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST', headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }, body: JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: 'hi' }] }),
  });
  expect(reply.status).toBe(200);
  // The shipped model was tried in a child process and loaded: its files are where the bundle looks for them.
  expect(reply.headers.get('x-router-strategy')).toBe('llmrouter-hybrid');
  expect(reply.headers.get('x-router-model-version')).toBe('v1');
  expect(await reply.json()).toMatchObject({ choices: [{ finish_reason: 'stop' }] });
  const port = new URL(gateway.url).port;
  expect(await exitOf(join(out, 'health.js'), ['/health/liveliness', '4000'], { PORT: port })).toBe(0);
  expect(await exitOf(join(out, 'health.js'), ['/nothing', '4000'], { PORT: port })).toBe(1);
  expect(await gateway.stop()).toBe(0);
  expect(sizeProblem('gateway', bundle.bytes)).toBeUndefined();
}, 120_000);

test('native code is that of one processor, and every licence is in the bundle', async () => {
  await using directory = await temporaryDirectory();
  await bundleApp({ root, app: 'gateway', out: directory.path, arch: 'arm64' });
  expect(await readdir(join(directory.path, 'node_modules', 'onnxruntime-node', 'bin', 'napi-v6', 'linux'))).toEqual(['arm64']);
  const licences = await readFile(join(directory.path, 'LICENSES.txt'), 'utf8');
  for (const name of ['express', 'onnxruntime-node', '@electric-sql/pglite', 'zod']) expect(licences).toMatch(new RegExp(`^${name} \\d`, 'm'));
});

test.each(['config-sync', 'model-sync', 'trace-exporter', 'audit-exporter', 'router-trainer'])('a bundled %s names what its environment lacks and ends with 78', async (app) => {
  await using directory = await temporaryDirectory();
  await bundleApp({ root, app, out: directory.path });
  expect(await exitOf(join(directory.path, 'main.js'), [], { HEALTH_PORT: String(await freePort()), OBJECT_STORE_URL: 'nonsense', TRAIN_SEED: 'x' })).toBe(78);
});

test('the bundled command line prints its help', async () => {
  await using directory = await temporaryDirectory();
  await bundleApp({ root, app: 'ctl', out: directory.path });
  expect(await exitOf(join(directory.path, 'main.js'), ['--help'], {})).toBe(0);
});

test('every image has a Dockerfile that runs as nobody, without a shell, and says what it is', async () => {
  for (const app of Object.keys(imageLimits)) {
    const text = await readFile(join(root, 'apps', app, 'Dockerfile'), 'utf8');
    expect(text).toMatch(/^ARG BASE_IMAGE=gcr\.io\/distroless\//m);
    expect(text).toContain('USER 65532:65532');
    expect(text).toContain('STOPSIGNAL SIGTERM');
    expect(text).toContain(`org.opencontainers.image.title="pointsman-${app}"`);
    expect(text).toMatch(/^ENTRYPOINT \["node", .*"\/opt\/pointsman\/main\.js"\]$/m);
    expect(text).not.toMatch(/^RUN /m);
  }
});

test('an image past its limit is named with both sizes', () => {
  expect(sizeProblem('config-sync', 121e6)).toBe('pointsman-config-sync weighs 121.0 MB compressed, more than 120.0 MB');
  expect(sizeProblem('nothing', 1)).toContain('no limit');
});

test('the first engine that is there builds, without a network', async () => {
  await using directory = await temporaryDirectory();
  expect(findEngine(directory.path)).toBeUndefined();
  await writeFile(join(directory.path, 'buildah'), '#!/bin/sh\n', { mode: 0o755 });
  expect(findEngine(directory.path)).toBe('buildah');
  const image = { tag: 'localhost/pointsman-ctl:1', dockerfile: 'D', context: 'C', buildArgs: { VERSION: '1' } };
  expect(buildWords('buildah', image)).toEqual(['build', '--network', 'none', '--format', 'docker', '--build-arg', 'VERSION=1', '-t', 'localhost/pointsman-ctl:1', '-f', 'D', 'C']);
  expect(buildWords('docker', image)).not.toContain('--format');
  expect(saveWords('podman', 'a:1', 'f')).toEqual(['save', '-o', 'f', 'a:1']);
});

async function readOnly(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) if (entry.isFile()) await chmod(join(entry.parentPath, entry.name), 0o444);
}

function exitOf(program: string, words: readonly string[], env: Readonly<Record<string, string>>): Promise<number | null> {
  const child = spawn(process.execPath, [program, ...words], { env, stdio: 'ignore', cwd: '/' });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
}
