import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, type RunningObjectStore, type RunningRedis, spawnApp, startObjectStore, startRedis, temporaryDirectory } from '@pointsman/testing';
import { expect, onTestFinished, test } from 'vitest';
import { createWorld, MODEL, type Pod, type World as AnyWorld } from './model-sync.fixture.ts';

type World = AnyWorld<RunningObjectStore>;

async function world(): Promise<World> {
  const made = await createWorld({ startObjectStore, temporaryDirectory });
  onTestFinished(() => made[Symbol.asyncDispose]());
  return made;
}

async function redis(): Promise<RunningRedis> {
  const started = await startRedis();
  onTestFinished(() => started[Symbol.asyncDispose]());
  return started;
}

async function startPods(made: World, count: number, env: Readonly<Record<string, string>>): Promise<readonly Pod[]> {
  const pods = await Promise.all(Array.from({ length: count }, () => made.startPod({ env })));
  onTestFinished(async () => {
    await Promise.all(pods.map((pod) => pod.sync.close()));
  });
  return pods;
}

const ORIGIN_FILES = ['manifest.json.sig', 'model.onnx', 'tables/vectors.bin'].map((file) => `models/knn-router-v42/${file}`);

test('fifty that start together read each file at the origin once', { timeout: 120_000 }, async () => {
  const made = await world();
  const { url } = await redis();
  const revision = await made.upload('v42', { 'model.onnx': randomBytes(2_000_000), 'tables/vectors.bin': randomBytes(500_000) });
  await made.want('v42');
  const pods = await startPods(made, 50, { MODEL_CACHE: 'cluster', REDIS_URL: url, LOG_LEVEL: 'info', MODEL_SYNC_INTERVAL: '60' });
  await eventually(() => {
    for (const pod of pods) expect(pod.sync.health()).toMatchObject({ status: 'ok', revision, models: [{ served: true }] });
  }, { timeoutMs: 100_000 });
  expect(fileReads(made).toSorted()).toEqual(ORIGIN_FILES);
  expect(JSON.parse((await made.store.get(`models-cache/${MODEL}-${revision}/ready.json`))?.toString() ?? '')).toMatchObject({ fence: expect.any(Number) as number, manifest_sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string });
});

/** Everybody may read the manifest, to know what a copy must be of. */
const fileReads = (made: World): string[] => made.originReads().filter((key) => !key.endsWith('/manifest.json'));

test('who starts later finds the copy, without the lock and without the origin', async () => {
  const made = await world();
  const { url } = await redis();
  await made.upload('v42');
  await made.want('v42');
  const [first] = await startPods(made, 1, { MODEL_CACHE: 'cluster', REDIS_URL: url });
  await eventually(() => expect(first?.sync.health().models[0]?.served).toBe(true));
  const reads = fileReads(made).length;
  const [second] = await startPods(made, 1, { MODEL_CACHE: 'cluster', REDIS_URL: url });
  await eventually(() => expect(second?.sync.health().models[0]?.served).toBe(true));
  expect(fileReads(made)).toHaveLength(reads);
  expect(second?.logs.some(({ msg }) => msg === 'lock acquired')).toBe(false);
});

test('the copy is not trusted: a bad one is read past and written anew', async () => {
  const made = await world();
  const { url } = await redis();
  const revision = await made.upload('v42');
  await made.want('v42');
  const [first] = await startPods(made, 1, { MODEL_CACHE: 'cluster', REDIS_URL: url });
  await eventually(() => expect(first?.sync.health().models[0]?.served).toBe(true));
  const copy = `models-cache/${MODEL}-${revision}/model.onnx`;
  await made.store.put(copy, 'weightS of v42');
  const [second] = await startPods(made, 1, { MODEL_CACHE: 'cluster', REDIS_URL: url });
  await eventually(() => expect(second?.sync.health().models[0]?.served).toBe(true));
  expect(await second?.served()).toBe('weights of v42');
  expect(second?.logs.find(({ msg }) => msg === 'cache holds a bad copy')).toMatchObject({ level: 'warn', code: 'file_digest' });
  expect((await made.store.get(copy))?.toString()).toBe('weights of v42');
});

test('a copy that is not whole is not read', async () => {
  const made = await world();
  const { url } = await redis();
  const revision = await made.upload('v42');
  await made.want('v42');
  const [first] = await startPods(made, 1, { MODEL_CACHE: 'cluster', REDIS_URL: url });
  await eventually(() => expect(first?.sync.health().models[0]?.served).toBe(true));
  await made.store.put(`models-cache/${MODEL}-${revision}/ready.json`, '{}');
  const reads = fileReads(made).length;
  const [second] = await startPods(made, 1, { MODEL_CACHE: 'cluster', REDIS_URL: url });
  await eventually(() => expect(second?.sync.health().models[0]?.served).toBe(true));
  expect(fileReads(made).length).toBeGreaterThan(reads);
});

test('a version that is uploaded again is copied again', async () => {
  const made = await world();
  const { url } = await redis();
  await made.upload('v42', { 'model.onnx': 'first' });
  await made.want('v42');
  const pods = await startPods(made, 3, { MODEL_CACHE: 'cluster', REDIS_URL: url });
  await eventually(async () => { for (const pod of pods) expect(await pod.served()).toBe('first'); });
  const reads = fileReads(made).length;
  await made.upload('v42', { 'model.onnx': 'second' });
  await eventually(async () => { for (const pod of pods) expect(await pod.served()).toBe('second'); });
  expect(fileReads(made).slice(reads).toSorted()).toEqual(['manifest.json.sig', 'model.onnx'].map((file) => `models/knn-router-v42/${file}`));
});

test('a holder that is killed while it downloads is replaced, and what the others get is right', { timeout: 90_000 }, async () => {
  const made = await world();
  const { url, command } = await redis();
  const weights = randomBytes(400_000).toString('base64');
  const revision = await made.upload('v42', { 'model.onnx': weights });
  await made.want('v42');
  const throttled = made.store.fail({ match: /^GET models\/.*model\.onnx/, slow: 50_000 });
  await using holder = await spawnApp('model-sync', { env: made.env({ MODEL_CACHE: 'cluster', REDIS_URL: url, MODELS_DIR: join(made.directory, 'killed') }) });
  await eventually(() => expect(made.store.requests.find(({ key, bytes }) => key.endsWith('model.onnx') && bytes > 0)).toBeDefined());
  const fence = Number(await command('GET', `{model-sync:${MODEL}}:fence`));
  expect(await command('EXISTS', `model-sync:${MODEL}`)).toBe(1);
  const pods = await startPods(made, 3, { MODEL_CACHE: 'cluster', REDIS_URL: url });
  throttled();
  holder.signal('SIGKILL');
  await holder.ended;
  // As time would have it fifteen seconds later.
  await command('PEXPIRE', `model-sync:${MODEL}`, '500');
  await eventually(() => {
    for (const pod of pods) expect(pod.sync.health()).toMatchObject({ status: 'ok', revision, models: [{ served: true }] });
  }, { timeoutMs: 60_000 });
  for (const pod of pods) expect(await pod.served()).toBe(weights);
  // One download broke off with the holder, one was made by its successor.
  expect(made.originReads().filter((key) => key.endsWith('model.onnx'))).toHaveLength(2);
  expect((JSON.parse((await made.store.get(`models-cache/${MODEL}-${revision}/ready.json`))?.toString() ?? '{}') as { fence: number }).fence).toBeGreaterThan(fence);
  await expect(readFile(join(made.directory, 'killed', MODEL, 'current', 'model.onnx'))).rejects.toThrow('ENOENT');
});

test('whoever loses the lock puts nothing into the cache, and serves what it has verified all the same', async () => {
  const made = await world();
  const { url, command } = await redis();
  const revision = await made.upload('v42', { 'model.onnx': 'weights' });
  await made.want('v42');
  const stalled = made.store.fail({ match: /^GET models\/.*model\.onnx/, stallAfter: 3 });
  const [pod] = await startPods(made, 1, { MODEL_CACHE: 'cluster', REDIS_URL: url });
  await eventually(() => expect(made.store.requests.some(({ key, bytes }) => key.endsWith('model.onnx') && bytes > 0)).toBe(true));
  await command('SET', `model-sync:${MODEL}`, 'somebody else');
  await eventually(() => expect(pod?.logs.some(({ msg, reason }) => msg === 'lock lost' && String(reason).includes('another holder'))).toBe(true));
  stalled();
  // Ends the stalled reply: the download goes on from there.
  await made.store.stop();
  await made.store.restart();
  await eventually(() => expect(pod?.sync.health()).toMatchObject({ revision, models: [{ served: true }] }));
  expect(made.store.keys().filter((key) => key.startsWith('models-cache/') && key.endsWith('.json') && !key.endsWith('manifest.json'))).toEqual([]);
});

test('without Redis, and with one that is away, the copy is looked for first and made all the same', async () => {
  const made = await world();
  const gone = await redis();
  await gone.kill();
  await made.upload('v42');
  await made.want('v42');
  const [first] = await startPods(made, 1, { MODEL_CACHE: 'cluster', REDIS_URL: gone.url });
  await eventually(() => expect(first?.sync.health().models[0]?.served).toBe(true));
  expect(first?.logs.find(({ msg }) => msg === 'lock is not available, going on without')).toMatchObject({ level: 'warn' });
  const reads = fileReads(made).length;
  const [second] = await startPods(made, 1, { MODEL_CACHE: 'cluster' });
  await eventually(() => expect(second?.sync.health().models[0]?.served).toBe(true));
  expect(fileReads(made)).toHaveLength(reads);
});

test('pods of one machine share its folder: one download, without Redis', async () => {
  const made = await world();
  const revision = await made.upload('v42', { 'model.onnx': randomBytes(1_000_000), 'tables/vectors.bin': 'vectors' });
  await made.want('v42');
  const pods = await startPods(made, 8, { MODEL_CACHE: 'node', MODEL_NODE_CACHE_DIR: join(made.directory, 'node-cache') });
  await eventually(() => {
    for (const pod of pods) expect(pod.sync.health()).toMatchObject({ status: 'ok', revision, models: [{ served: true }] });
  });
  expect(fileReads(made).toSorted()).toEqual(ORIGIN_FILES);
  expect(made.store.keys().some((key) => key.startsWith('models-cache/'))).toBe(false);
});

test('a cache that refuses writes costs the others a download of their own, one after the other', async () => {
  const made = await world();
  const { url } = await redis();
  await made.upload('v42');
  await made.want('v42');
  made.store.fail({ match: /^PUT models-cache\//, status: 403 });
  const pods = await startPods(made, 3, { MODEL_CACHE: 'cluster', REDIS_URL: url });
  await eventually(() => { for (const pod of pods) expect(pod.sync.health().models[0]?.served).toBe(true); });
  expect(made.originReads().filter((key) => key.endsWith('model.onnx'))).toHaveLength(3);
  expect(pods[0]?.logs.some(({ msg }) => msg === 'model could not be put into the cache')).toBe(true);
});

test('two sidecars on one volume do not get in each other\'s way', async () => {
  const made = await world();
  const revisions = [await made.upload('v42'), await made.upload('v43')];
  await made.want('v42');
  const modelsDir = join(made.directory, 'shared');
  const pods = await Promise.all([made.startPod({ modelsDir }), made.startPod({ modelsDir })]);
  onTestFinished(async () => {
    await Promise.all(pods.map((pod) => pod.sync.close()));
  });
  for (const [version, revision] of [['v42', revisions[0]], ['v43', revisions[1]], ['v42', revisions[0]]] as const) {
    await made.want(version);
    await eventually(() => { for (const pod of pods) expect(pod.sync.health()).toMatchObject({ status: 'ok', revision, models: [{ version, served: true }] }); });
    expect(await pods[0].served()).toBe(`weights of ${version}`);
  }
});

test('whoever may only write to the cache cannot bring back an older upload of a version', async () => {
  const made = await world();
  const { url } = await redis();
  const old = await made.upload('v42', { 'model.onnx': 'old' });
  await made.want('v42');
  const pointer = `models-cache/${MODEL}-v42.json`;
  const readPointer = async (): Promise<object> => JSON.parse((await made.store.get(pointer))?.toString() ?? '') as object;
  const [first] = await startPods(made, 1, { MODEL_CACHE: 'cluster', REDIS_URL: url });
  await eventually(() => expect(first?.sync.health()).toMatchObject({ revision: old, models: [{ served: true }] }));
  const before = await readPointer();
  const latest = await made.upload('v42', { 'model.onnx': 'latest' });
  await eventually(() => expect(first?.sync.health()).toMatchObject({ revision: latest, models: [{ served: true }] }));
  const { origin_etag: etag } = await readPointer() as { readonly origin_etag: string };
  await made.store.put(pointer, JSON.stringify({ ...before, origin_etag: etag, fence: 1e15 }));
  const [second] = await startPods(made, 1, { MODEL_CACHE: 'cluster', REDIS_URL: url });
  await eventually(() => expect(second?.sync.health()).toMatchObject({ revision: latest, models: [{ served: true }] }));
  expect(await second?.generations()).toEqual([latest]);
  expect(second?.logs.some(({ msg }) => msg === 'cache points to something else than the origin has')).toBe(true);
  await eventually(async () => expect(await readPointer()).toMatchObject({ revision: latest }));
});
