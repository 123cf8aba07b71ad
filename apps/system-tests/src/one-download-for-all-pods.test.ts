import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { ModelManifest } from '@pointsman/schemas';
import { eventually, spawnApp, startObjectStore, startRedis, temporaryDirectory, type ObjectStoreRequest, type RunningObjectStore, type RunningRedis, type TemporaryDirectory } from '@pointsman/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeArtifact, makeSigners, uploadArtifact, type Signers } from './router-artifacts.ts';

const NAME = 'knn-router';
const ROOT = join(import.meta.dirname, '..', '..', '..');
const PODS = 50;
const MEGABYTE = 1024 * 1024;

let directory: TemporaryDirectory;
let store: RunningObjectStore;
let redis: RunningRedis;
let signers: Signers;

beforeEach(async () => {
  directory = await temporaryDirectory();
  [store, redis, signers] = [await startObjectStore(), await startRedis(), await makeSigners(directory.path)];
}, 60_000);

afterEach(async () => {
  await Promise.all([store[Symbol.asyncDispose](), redis[Symbol.asyncDispose]()]);
  await directory[Symbol.asyncDispose]();
}, 120_000);

async function uploadVersion(version: string, paddingBytes: number): Promise<string> {
  const local = join(directory.path, `artifact-${version}`);
  const revision = await makeArtifact(local, { name: NAME, version, scores: { a: 0.2, b: 0.8 }, privateKey: signers.privateKey, paddingBytes });
  await uploadArtifact(store, local, `${NAME}-${version}`);
  return revision;
}

/** The environment of one pod's model-sync, with a configuration that wants the version. */
async function podEnv(pod: string, version: string): Promise<Record<string, string>> {
  const home = join(directory.path, pod);
  await mkdir(join(home, 'config'), { recursive: true });
  await writeFile(join(home, 'config', 'config.yaml'), JSON.stringify({ model_list: [], router_settings: { routing_strategy: 'llmrouter-knn', routing_strategy_args: { model_name: NAME, model_version: version } } }));
  return {
    ...store.env, POD_NAME: pod, REDIS_URL: redis.url, CONFIG_DIR: join(home, 'config'), MODELS_DIR: join(home, 'models'), RUN_DIR: join(home, 'run'),
    MODEL_SIGNING_PUBLIC_KEYS: signers.publicKeyFile, HEALTH_PORT: '0', MODEL_SYNC_INTERVAL: '2',
  };
}

/** Whole downloads of the artifact's own files, by key. */
function originDownloads(): Map<string, ObjectStoreRequest[]> {
  const found = new Map<string, ObjectStoreRequest[]>();
  for (const request of store.requests) {
    if (request.method !== 'GET' || !request.key.startsWith(`models/${NAME}-`) || request.key.includes('manifest.json')) continue;
    found.set(request.key, [...(found.get(request.key) ?? []), request]);
  }
  return found;
}

/** The published version is the revision, every byte of it. */
async function expectWhole(pod: string, revision: string): Promise<void> {
  const root = join(directory.path, pod, 'models', NAME);
  expect(await readlink(join(root, 'current'))).toBe(`generations/${revision}`);
  const generation = join(root, 'generations', revision);
  const manifest = JSON.parse(await readFile(join(generation, 'manifest.json'), 'utf8')) as ModelManifest;
  for (const { path, sha256 } of manifest.files) {
    const hash = createHash('sha256');
    await pipeline(createReadStream(join(generation, path)), hash);
    expect(hash.digest('hex'), `${pod} ${path}`).toBe(sha256);
  }
}

test('fifty pods that want a new version of 100 MB at once download each of its files once', async () => {
  const revision = await uploadVersion('v1', 100 * MEGABYTE);
  const running: ChildProcess[] = [];
  try {
    const codes = await Promise.all(Array.from({ length: PODS }, async (_, index) => {
      const env = await podEnv(`pod-${String(index)}`, 'v1');
      const child = spawn(join(ROOT, 'node_modules', '.bin', 'node'), [join(ROOT, 'apps', 'model-sync', 'src', 'main.ts'), '--once'], { cwd: ROOT, env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'ignore', 'pipe'] });
      running.push(child);
      let complaint = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint = `${complaint}${text}`.slice(-2_000)));
      const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
      return code === 0 ? 0 : `${String(code)}: ${complaint}`;
    }));
    expect(codes).toEqual(codes.map(() => 0));
  } finally {
    for (const child of running) child.kill('SIGKILL');
  }
  const downloads = originDownloads();
  expect([...downloads.keys()].sort()).toEqual([`models/${NAME}-v1/model.onnx`, `models/${NAME}-v1/padding.bin`]);
  for (const [key, requests] of downloads) expect(requests, key).toHaveLength(1);
  for (const index of [0, 7, 23, 49]) {
    await expectWhole(`pod-${String(index)}`, revision);
    expect((await readdir(join(directory.path, `pod-${String(index)}`, 'models', NAME))).filter((name) => name.startsWith('.'))).toEqual([]);
  }
}, 600_000);

test('the pod that downloads is killed in the middle of it: another takes over, and what all have is whole', async () => {
  const revision = await uploadVersion('v1', 8 * MEGABYTE);
  const heal = store.fail({ match: (request) => request.method === 'GET' && request.key === `models/${NAME}-v1/padding.bin`, slow: 400_000 });
  const pods = await Promise.all(['one', 'two', 'three'].map(async (name) => ({ name, app: await spawnApp('model-sync', { env: await podEnv(name, 'v1') }) })));
  try {
    const holder = await eventually(async () => {
      const value = await redis.command('GET', `model-sync:${NAME}`);
      expect(value).not.toBeNull();
      const request = originDownloads().get(`models/${NAME}-v1/padding.bin`)?.[0];
      expect(request?.bytes).toBeGreaterThan(MEGABYTE / 4);
      const found: string[] = [];
      for (const { name } of pods) {
        const root = join(directory.path, name, 'models', NAME);
        for (const staging of (await readdir(root).catch(() => [])).filter((entry) => entry.startsWith('.staging'))) if ((await readdir(join(root, staging))).includes('padding.bin')) found.push(name);
      }
      expect(found).toHaveLength(1);
      return found[0];
    }, { timeoutMs: 60_000 });
    heal();
    const killed = pods.find(({ name }) => name === holder);
    await killed?.app.stop('SIGKILL');
    const others = pods.filter(({ name }) => name !== holder);
    for (const { name } of others) await eventually(async () => expectWhole(name, revision), { timeoutMs: 120_000, intervalMs: 200 });
    // The one that was killed had its own; of the others, one went to the origin.
    expect(originDownloads().get(`models/${NAME}-v1/padding.bin`)).toHaveLength(2);
    const again = await spawnApp('model-sync', { env: await podEnv(holder ?? '', 'v1') });
    try {
      await eventually(async () => expectWhole(holder ?? '', revision), { timeoutMs: 60_000, intervalMs: 200 });
    } finally {
      await again[Symbol.asyncDispose]();
    }
    expect(originDownloads().get(`models/${NAME}-v1/padding.bin`)).toHaveLength(2);
  } finally {
    await Promise.all(pods.map(({ app }) => app[Symbol.asyncDispose]()));
  }
}, 300_000);
