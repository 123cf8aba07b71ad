import { mkdir, readdir, readlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateSigningKeys, signManifest } from '@pointsman/model-artifacts';
import { openObjectStore } from '@pointsman/object-store';
import { eventually, type RunningObjectStore, startObjectStore, temporaryDirectory } from '@pointsman/testing';
import { expect, onTestFinished, test } from 'vitest';
import { createWorld, FakeGateway, MODEL, type World as AnyWorld } from './model-sync.fixture.ts';

type World = AnyWorld<RunningObjectStore>;

async function world(): Promise<World> {
  const made = await createWorld({ startObjectStore, temporaryDirectory });
  onTestFinished(() => made[Symbol.asyncDispose]());
  return made;
}

test('the version that the published configuration names is fetched, verified, linked, and served by the gateway', async () => {
  const { upload, want, startPod } = await world();
  const revision = await upload('v42', { 'model.onnx': 'weights', 'tables/vectors.bin': 'vectors' });
  await want('v42');
  await using pod = await startPod();
  await eventually(() => expect(pod.sync.health()).toMatchObject({
    status: 'ok', revision, consecutive_failures: 0, models: [{ name: MODEL, version: 'v42', revision, served: true, others: [] }],
  }));
  expect(await pod.served('tables/vectors.bin')).toBe('vectors');
  expect(await readlink(join(pod.modelsDir, MODEL, 'current'))).toBe(`generations/${revision}`);
  const response = await fetch(`${pod.sync.url}/health/model-sync`);
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ status: 'ok', revision, models: [{ name: MODEL }] });
  const metrics = await (await fetch(`${pod.sync.url}/metrics`)).text();
  expect(metrics).toContain('sync_passes_total{app="model-sync",outcome="published"} 1');
  expect(metrics).toContain('model_sync_fetches_total{source="origin",outcome="ok"} 1');
  expect(metrics).toContain(`sync_published_info{app="model-sync",revision="${revision}"} 1`);
  expect(pod.logs.find(({ msg }) => msg === 'downloaded')).toMatchObject({ trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string, revision });
});

test('a new version in the configuration is fetched at once, not after the interval, and going back needs no store', async () => {
  const { upload, want, startPod, store } = await world();
  await upload('v42');
  await upload('v43');
  await want('v42');
  await using pod = await startPod({ env: { MODEL_SYNC_INTERVAL: '3600' } });
  await eventually(async () => expect(await pod.served()).toBe('weights of v42'));
  await want('v43');
  await eventually(async () => expect(await pod.served()).toBe('weights of v43'));
  await eventually(() => expect(pod.sync.health()).toMatchObject({ status: 'ok', models: [{ version: 'v43', served: true }] }));
  await store.stop();
  await want('v42');
  await eventually(async () => expect(await pod.served()).toBe('weights of v42'));
});

test('going back does not wait for the download of what nobody wants any more', async () => {
  const { upload, want, startPod, store } = await world();
  await upload('v42');
  await upload('v43');
  await want('v42');
  await using pod = await startPod({ env: { MODEL_SYNC_INTERVAL: '3600' } });
  await eventually(() => expect(pod.sync.health().models[0]?.served).toBe(true));
  store.fail({ match: /^GET models\/knn-router-v43\/model/, hang: true });
  await want('v43');
  await eventually(() => expect(store.requests.some(({ method, key }) => method === 'GET' && key === 'models/knn-router-v43/model.onnx')).toBe(true));
  const looks = (): number => store.requests.filter(({ method, key }) => method === 'HEAD' && key.startsWith('models/knn-router-v42/')).length;
  const before = looks();
  await want('v42');
  await eventually(() => expect(looks()).toBeGreaterThan(before), { timeoutMs: 10_000 });
  await eventually(() => expect(pod.sync.health()).toMatchObject({ status: 'ok', models: [{ version: 'v42', served: true }] }));
  expect(await pod.served()).toBe('weights of v42');
});

test('the canary lies beside the stable version without the link, and neither is pruned', async () => {
  const { upload, want, startPod } = await world();
  const revisions: string[] = [];
  for (const version of ['v1', 'v2', 'v3', 'v4', 'v5']) revisions.push(await upload(version));
  await want('v1', 'v2');
  await using pod = await startPod();
  await eventually(() => expect(pod.sync.health().models).toMatchObject([{ revision: revisions[0], served: true, others: [{ version: 'v2', revision: revisions[1] }] }]));
  expect(await pod.served()).toBe('weights of v1');
  expect(pod.gateway.served).toEqual(expect.arrayContaining([revisions[0], revisions[1]]));
  for (const version of ['v3', 'v4', 'v5']) {
    await want('v1', version);
    await eventually(() => expect(pod.sync.health().models[0]?.others).toMatchObject([{ version }]));
  }
  await eventually(async () => expect(await pod.generations()).toEqual([revisions[0], revisions[3], revisions[4]]));
});

test('nothing asked for is nothing fetched, and no reason to be unready', async () => {
  const { want, startPod, store } = await world();
  await want(undefined);
  await using pod = await startPod();
  await eventually(() => expect(pod.sync.health()).toMatchObject({ status: 'ok', revision: null, models: [] }));
  expect(store.requests).toEqual([]);
});

test('a model that is not in the store is a failure that says what to do, and is served once it is there', async () => {
  const { upload, want, startPod } = await world();
  await want('v42');
  await using pod = await startPod();
  await eventually(() => expect(pod.sync.health()).toMatchObject({ status: 'failing', models: [{ problem: expect.stringContaining('models/knn-router-v42/manifest.json is not in s3://') as string }] }));
  expect(pod.sync.health().rejected).toBeUndefined();
  expect((await fetch(`${pod.sync.url}/health/model-sync`)).status).toBe(503);
  await upload('v42');
  await eventually(() => expect(pod.sync.health().status).toBe('ok'));
});

test('a version that is uploaded again is noticed by its digest', async () => {
  const { upload, want, startPod } = await world();
  const first = await upload('v42', { 'model.onnx': 'first' });
  await want('v42');
  await using pod = await startPod();
  await eventually(async () => expect(await pod.served()).toBe('first'));
  const second = await upload('v42', { 'model.onnx': 'second' });
  await eventually(() => expect(pod.sync.health()).toMatchObject({ revision: second, models: [{ served: true }] }));
  expect(await pod.served()).toBe('second');
  expect(await pod.generations()).toEqual([first, second].toSorted());
});

test.each([
  ['one flipped bit', /content of "model\.onnx" is not what the manifest says/, async ({ upload, store }: World) => {
    await upload('v43');
    await store.put('models/knn-router-v43/model.onnx', 'weightS of v43');
  }],
  ['a truncated file', /has 5 bytes; the manifest says 14/, async ({ upload, store }: World) => {
    await upload('v43');
    await store.put('models/knn-router-v43/model.onnx', 'weigh');
  }],
  ['a file with more bytes', /model\.onnx is larger than 14 bytes/, async ({ upload, store }: World) => {
    await upload('v43');
    await store.put('models/knn-router-v43/model.onnx', 'weights of v43 and more');
  }],
  ['a signature by another key', /not that of a known key/, async ({ upload }: World) => {
    await upload('v43', undefined, { sign: 'other' });
  }],
  ['no signature', /not signed/, async ({ upload }: World) => {
    await upload('v43', undefined, { sign: 'none' });
  }],
  ['the validly signed manifest of another version', /is that of "knn-router" v41, not of "knn-router" v43/, async ({ upload }: World) => {
    await upload('v41', undefined, { as: 'v43' });
  }],
  ['the validly signed manifest of another model', /is that of "other" v43/, async ({ upload, store }: World) => {
    await upload('v43', undefined, { name: 'other' });
    for (const file of ['manifest.json', 'manifest.json.sig', 'model.onnx']) await store.put(`models/knn-router-v43/${file}`, await store.get(`models/other-v43/${file}`) ?? '');
  }],
  ['a manifest that is no JSON', /manifest\.json is not valid|not that of a known key/, async ({ upload, store }: World) => {
    await upload('v43');
    await store.put('models/knn-router-v43/manifest.json', '{');
  }],
])('%s is rejected with its reason, and the old model stays', async (_what, reason, spoil) => {
  const made = await world();
  const old = await made.upload('v42');
  await made.want('v42');
  await using pod = await made.startPod();
  await eventually(() => expect(pod.sync.health().status).toBe('ok'));
  await spoil(made);
  await made.want('v43');
  await eventually(() => expect(pod.sync.health().rejected?.reason).toMatch(reason));
  expect(pod.sync.health()).toMatchObject({ status: 'degraded', revision: old, models: [{ version: 'v43', revision: old }] });
  expect(await pod.served()).toBe('weights of v42');
  expect(await pod.generations()).toEqual([old]);
  expect(pod.logs.filter(({ msg }) => msg === 'content rejected')).toHaveLength(1);
  // Bad content is not downloaded again.
  const passes = (): number => made.store.requests.filter(({ method }) => method === 'HEAD').length;
  const [reads, before] = [made.originReads().length, passes()];
  await eventually(() => expect(passes()).toBeGreaterThan(before + 2));
  expect(made.originReads()).toHaveLength(reads);
});

test('a bit that falls over on the way is no reason to refuse a model', async () => {
  const made = await world();
  const revision = await made.upload('v42');
  await made.want('v42');
  made.store.fail({ match: /^GET models\/.*model\.onnx/, corrupt: true, times: 1 });
  await using pod = await made.startPod();
  await eventually(() => expect(pod.sync.health().models).toMatchObject([{ revision, served: true }]));
  expect(made.originReads().filter((key) => key.endsWith('model.onnx'))).toHaveLength(2);
  expect(pod.sync.health().rejected).toBeUndefined();
});

test('a name with ../ in a validly signed manifest is rejected before anything is written', async () => {
  const made = await world();
  await made.upload('v42', { 'aaaa/evil': 'x' });
  // A trainer would not write it: signed here by hand.
  const manifest = (await made.store.get('models/knn-router-v42/manifest.json'))?.toString().replace('aaaa/evil', '../../evil') ?? '';
  const keys = generateSigningKeys();
  await writeFile(join(made.directory, 'public.pem'), keys.publicKeyPem);
  await made.store.put('models/knn-router-v42/manifest.json', manifest);
  await made.store.put('models/knn-router-v42/manifest.json.sig', signManifest(Buffer.from(manifest), keys.privateKeyPem));
  await made.want('v42');
  await using pod = await made.startPod();
  await eventually(() => expect(pod.sync.health().rejected?.reason).toMatch(/"\.\.\/\.\.\/evil", which has the segment \.\./));
  expect(made.originReads()).toEqual(['models/knn-router-v42/manifest.json', 'models/knn-router-v42/manifest.json.sig']);
  expect(pod.sync.health()).toMatchObject({ status: 'degraded', revision: null });
});

test('a file that was missing is fetched once somebody has uploaded it, although the manifest is the same', async () => {
  const made = await world();
  const revision = await made.upload('v42', { 'model.onnx': 'weights', 'late.bin': 'late' });
  const late = await made.store.get('models/knn-router-v42/late.bin') ?? '';
  const store = await openObjectStore(made.store.env['OBJECT_STORE_URL'] ?? '', { endpoint: made.store.endpoint });
  await store.delete('models/knn-router-v42/late.bin');
  await made.want('v42');
  await using pod = await made.startPod();
  await eventually(() => expect(pod.sync.health().rejected?.reason).toMatch(/"late\.bin" is not there/));
  await made.store.put('models/knn-router-v42/late.bin', late);
  await eventually(() => expect(pod.sync.health()).toMatchObject({ status: 'ok', revision }));
  store.close();
});

test('what the gateway refuses gives way to what it served before, and is tried again when the gateway has forgotten', async () => {
  const { upload, want, startPod } = await world();
  const [old, bad] = [await upload('v42'), await upload('v43')];
  await want('v42');
  await using pod = await startPod();
  await eventually(() => expect(pod.sync.health().status).toBe('ok'));
  pod.gateway.refuses.set(bad, 'golden input 3 answers NaN');
  await want('v43');
  await eventually(() => expect(pod.sync.health()).toMatchObject({ status: 'degraded', revision: old, rejected: { revision: bad, reason: 'The gateway refuses it: golden input 3 answers NaN' } }));
  expect(await pod.served()).toBe('weights of v42');
  expect(pod.logs.some(({ level, msg }) => level === 'error' && msg === 'content rejected')).toBe(true);
  const metrics = await (await fetch(`${pod.sync.url}/metrics`)).text();
  expect(metrics).toContain('model_sync_rejections_total{reason="gateway"} 1');
  pod.gateway.refuses.clear();
  pod.gateway.forget();
  await eventually(() => expect(pod.sync.health()).toMatchObject({ status: 'ok', revision: bad }));
  expect(await pod.served()).toBe('weights of v43');
});

test('a refused first model leaves no link to it', async () => {
  const { upload, want, startPod } = await world();
  const bad = await upload('v42');
  await want('v42');
  const made = await world();
  const gateway = new FakeGateway(join(made.directory, 'models'));
  gateway.refuses.set(bad, 'no memory');
  await using pod = await startPod({ door: gateway, modelsDir: join(made.directory, 'models') });
  await eventually(() => expect(pod.sync.health()).toMatchObject({ status: 'degraded', revision: null, rejected: { revision: bad } }));
  expect(await pod.served()).toBeUndefined();
});

test('a gateway that restarts is told again', async () => {
  const { upload, want, startPod } = await world();
  await upload('v42');
  await want('v42');
  await using pod = await startPod();
  await eventually(() => expect(pod.sync.health().status).toBe('ok'));
  const { nudges } = pod.gateway;
  pod.gateway.forget();
  await eventually(() => expect(pod.gateway.nudges).toBeGreaterThan(nudges));
  await eventually(() => expect(pod.gateway.served).toHaveLength(1));
});

test('a gateway that is not there is a failure, and what is published stays', async () => {
  const { upload, want, startPod } = await world();
  const revision = await upload('v42');
  await want('v42');
  await using pod = await startPod({ applyTimeoutMs: 200 });
  pod.gateway.isThere = false;
  await eventually(() => expect(pod.sync.health()).toMatchObject({ status: 'degraded', revision, models: [{ served: false, problem: expect.stringContaining('No gateway runs in this pod') as string }] }));
  pod.gateway.isThere = true;
  await eventually(() => expect(pod.sync.health()).toMatchObject({ status: 'ok', models: [{ served: true }] }));
});

test('a store that is away changes nothing that is served, shows as degraded, and is followed again without a restart', async () => {
  const { upload, want, startPod, store } = await world();
  const revision = await upload('v42');
  await upload('v43');
  await want('v42');
  await using pod = await startPod();
  await eventually(() => expect(pod.sync.health().status).toBe('ok'));
  await store.stop();
  await eventually(() => expect(pod.sync.health()).toMatchObject({ status: 'degraded', revision }));
  expect(await (await fetch(`${pod.sync.url}/metrics`)).text()).toContain('gateway_degraded_mode{service="s3"} 1');
  expect((await fetch(`${pod.sync.url}/health/model-sync`)).status).toBe(200);
  expect(await pod.served()).toBe('weights of v42');
  await want('v43');
  await store.restart();
  await eventually(async () => expect(await pod.served()).toBe('weights of v43'));
  await eventually(() => expect(pod.sync.health().status).toBe('ok'));
});

test('a disk without room is told before the first byte, and the old model stays', async () => {
  const made = await world();
  await made.upload('v42');
  await made.upload('v43', { 'model.onnx': Buffer.alloc(5_000, 1) });
  await made.want('v42');
  await using pod = await made.startPod({ freeBytes: async () => await Promise.resolve(4_999) });
  await eventually(() => expect(pod.sync.health().status).toBe('ok'));
  await made.want('v43');
  await eventually(() => expect(pod.sync.health()).toMatchObject({ status: 'degraded', models: [{ problem: expect.stringContaining('needs 5000 bytes, and 4999 are free') as string }] }));
  expect(pod.sync.health().rejected).toBeUndefined();
  expect(await pod.served()).toBe('weights of v42');
  expect(made.originReads()).not.toContain('models/knn-router-v43/model.onnx');
});

test('a model above MODEL_MAX_BYTES is rejected by its manifest', async () => {
  const made = await world();
  await made.upload('v42', { 'model.onnx': Buffer.alloc(5_000, 1) });
  await made.want('v42');
  await using pod = await made.startPod({ env: { MODEL_MAX_BYTES: '4999' } });
  await eventually(() => expect(pod.sync.health().rejected?.reason).toMatch(/more than the 4999 bytes/));
  expect(made.originReads()).not.toContain('models/knn-router-v42/model.onnx');
});

test('without signatures being required a bad one is a warning, and digests still count', async () => {
  const made = await world();
  const revision = await made.upload('v42', undefined, { sign: 'other' });
  await made.want('v42');
  await using pod = await made.startPod({ env: { MODEL_VERIFY: 'warn' } });
  await eventually(() => expect(pod.sync.health()).toMatchObject({ status: 'ok', revision }));
  expect(pod.logs.find(({ msg }) => msg === 'model is not verified')).toMatchObject({ level: 'warn', reason: expect.stringContaining('not that of a known key') as string });
});

test('after a restart what is on disk is proven again, and a damaged generation is fetched anew', async () => {
  const made = await world();
  const revision = await made.upload('v42');
  await made.want('v42');
  const first = await made.startPod();
  await eventually(() => expect(first.sync.health().status).toBe('ok'));
  await first.sync.close();
  const reads = made.originReads().length;
  const second = await made.startPod({ modelsDir: first.modelsDir });
  await eventually(() => expect(second.sync.health().models[0]?.served).toBe(true));
  expect(made.originReads().slice(reads)).toEqual(['models/knn-router-v42/manifest.json', 'models/knn-router-v42/manifest.json.sig']);
  await second.sync.close();
  await truncate(join(first.modelsDir, MODEL, 'generations', revision, 'model.onnx'), 3);
  await using third = await made.startPod({ modelsDir: first.modelsDir });
  await eventually(async () => expect(await third.served()).toBe('weights of v42'));
});

test('several models are kept, and one that fails does not stop the others', async () => {
  const made = await world();
  const a = await made.upload('v1', undefined, { name: 'a' });
  await made.publish(JSON.stringify({ router_settings: { strategies: {
    x: { routing_strategy: 'llmrouter-knn', routing_strategy_args: { model_name: 'gone', model_version: 'v1' } },
    y: { routing_strategy: 'llmrouter-knn', routing_strategy_args: { model_name: 'a', model_version: 'v1' } },
  } } }));
  await using pod = await made.startPod();
  await eventually(() => expect(pod.sync.health().models).toMatchObject([{ name: 'gone', revision: null, problem: expect.stringContaining('asks for gone v1') as string }, { name: 'a', revision: a, served: true }]));
});

test('a configuration that cannot be read is a failure, one placed by hand is read, and a broken one changes nothing', async () => {
  const made = await world();
  await made.upload('v42');
  await using pod = await made.startPod();
  await eventually(() => expect(pod.sync.health().status).toBe('failing'));
  const path = join(made.configDir, 'config.yaml');
  await writeFile(path, 'router_settings: { routing_strategy_args: { model_name: knn-router, model_version: v42 } }\n');
  await eventually(() => expect(pod.sync.health().status).toBe('ok'));
  await writeFile(path, 'router_settings: [');
  await eventually(() => expect(pod.sync.health().consecutive_failures).toBeGreaterThan(0));
  expect(await pod.served()).toBe('weights of v42');
});

test('--once ends after one good pass without asking a gateway, and rejects after several bad ones', async () => {
  const made = await world();
  await made.upload('v42');
  await made.want('v42');
  const pod = await made.startPod({ once: true });
  await pod.sync.ended;
  expect(await pod.served()).toBe('weights of v42');
  expect(pod.gateway.nudges).toBe(0);
  expect(pod.sync.url).toBeUndefined();
  await pod.sync.close();
  await made.want('v99');
  const bad = await made.startPod({ once: true });
  await expect(bad.sync.ended).rejects.toMatchObject({ code: 'model_missing' });
  await bad.sync.close();
});

test('leftovers of a killed process are removed at the start, and closing leaves nothing staged', async () => {
  const made = await world();
  await made.upload('v42');
  await made.want('v42');
  const modelsDir = join(made.directory, 'models');
  const left = join(modelsDir, MODEL, '.staging-left');
  await mkdir(left, { recursive: true });
  const longAgo = new Date(Date.now() - 3_600_000);
  await utimes(left, longAgo, longAgo);
  await using pod = await made.startPod({ modelsDir });
  await eventually(() => expect(pod.sync.health().status).toBe('ok'));
  await pod.sync.close();
  expect((await readdir(join(pod.modelsDir, MODEL))).toSorted()).toEqual(['confirmed', 'current', 'generations']);
});
