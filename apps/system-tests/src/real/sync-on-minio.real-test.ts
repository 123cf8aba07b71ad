import { join } from 'node:path';
import { openObjectStore } from '@pointsman/object-store';
import { eventually, json, spawnApp, startRedis, startScriptedUpstream, startSteadyLoad, temporaryDirectory, type ScriptedUpstream } from '@pointsman/testing';
import { mkdir, readlink, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { deployment, MASTER_KEY, question } from '../gateway-under-test.ts';
import { startPodUnderTest, type PodUnderTest } from '../pod-under-test.ts';
import { makeArtifact, makeSigners, uploadArtifact } from '../router-artifacts.ts';
import { countRequests } from './count-requests.ts';
import { startMinio } from './start-minio.ts';

const KEY = 'prod/config.yaml';
const NAME = 'knn-router';
const [LEFT, RIGHT] = ['hosted_vllm/left', 'hosted_vllm/right'] as const;

interface Bucket extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>;
  /** What the sidecars asked for. */
  readonly requests: readonly string[];
  put(key: string, body: Buffer | string): Promise<unknown>;
  /** SIGSTOP: connections are taken by the kernel, and nothing answers. */
  freeze(): void;
  thaw(): void;
}

async function startBucket(): Promise<Bucket> {
  await using parts = new AsyncDisposableStack();
  const minio = parts.use(await startMinio());
  const proxy = parts.use(await countRequests(minio.endpoint));
  const bucket = await minio.makeBucket(true);
  const store = parts.adopt(await openObjectStore(`s3://${bucket}`, minio.options), (opened) => opened.close());
  const { accessKeyId = '', secretAccessKey = '' } = minio.options.credentials ?? {};
  const place = parts.move();
  return {
    env: { OBJECT_STORE_URL: `s3://${bucket}`, S3_ENDPOINT: proxy.url, AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey },
    requests: proxy.requests,
    put: (key, body) => store.write(key, body),
    freeze: () => process.kill(minio.pid, 'SIGSTOP'),
    thaw: () => process.kill(minio.pid, 'SIGCONT'),
    [Symbol.asyncDispose]: async () => {
      process.kill(minio.pid, 'SIGCONT');
      await place.disposeAsync();
    },
  };
}

const BODY = { id: 'x', object: 'chat.completion', created: 1, model: 'm', choices: [{ index: 0, message: { role: 'assistant', content: 'well' }, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } };

function configFor(upstream: ScriptedUpstream, version: string, more: object = {}): string {
  return JSON.stringify({
    model_list: [deployment('auto', upstream, 'left'), deployment('auto', upstream, 'right')],
    router_settings: { routing_strategy: 'llmrouter-knn', routing_strategy_args: { model_name: NAME, model_version: version, quality_cost_tradeoff: 1 }, ...more },
  });
}

async function asked(pod: PodUnderTest): Promise<string> {
  const response = await pod.gateway.post('/v1/chat/completions', { model: 'auto', ...question });
  expect(response.status, await response.text()).toBe(200);
  return `${String(response.headers.get('x-router-selected-model'))} ${String(response.headers.get('x-router-model-version'))}`;
}

test('configurations and models in a MinIO bucket are served with proof, bad ones are only told, and while it is frozen the last good ones serve', async () => {
  await using bucket = await startBucket();
  await using directory = await temporaryDirectory();
  await using upstream = await startScriptedUpstream({ reply: json(BODY) });
  const signers = await makeSigners(directory.path);
  const upload = async (version: string, scores: Readonly<Record<string, number>>, change?: (file: string, bytes: Buffer) => Buffer): Promise<void> => {
    const local = join(directory.path, version);
    await makeArtifact(local, { name: NAME, version, scores, privateKey: signers.privateKey });
    await uploadArtifact(bucket, local, `${NAME}-${version}`, change);
  };
  await upload('v1', { [LEFT]: 0.8, [RIGHT]: 0.2 });
  await bucket.put(KEY, configFor(upstream, 'v1'));
  await using pod = await startPodUnderTest({ store: bucket, modelKeys: [signers.publicKeyFile], intervalS: '0.5' });
  await eventually(async () => expect(await asked(pod)).toBe(`${LEFT} v1`), { timeoutMs: 60_000 });
  const load = startSteadyLoad({ url: pod.gateway.url, requestsPerSecond: 50, streamShare: 0, headers: { authorization: `Bearer ${MASTER_KEY}` } });

  await bucket.put(KEY, configFor(upstream, 'v1', { num_retires: 1 }));
  await eventually(async () => expect((await pod.configHealth()).rejected?.reason).toMatch(/router_settings\.num_retires/), { timeoutMs: 60_000 });
  expect(await asked(pod)).toBe(`${LEFT} v1`);

  await upload('v2', { [LEFT]: 0.2, [RIGHT]: 0.8 });
  await bucket.put(KEY, configFor(upstream, 'v2'));
  await eventually(async () => expect(await asked(pod)).toBe(`${RIGHT} v2`), { timeoutMs: 60_000 });
  await eventually(async () => expect(await pod.modelHealth()).toMatchObject({ status: 'ok' }));

  await upload('v3', { [LEFT]: 0.9, [RIGHT]: 0.1 }, (file, bytes) => (file === 'model.onnx' ? Buffer.from(bytes).fill(0, 10, 20) : bytes));
  await bucket.put(KEY, configFor(upstream, 'v3'));
  await eventually(async () => expect((await pod.modelHealth()).rejected?.reason).toMatch(/SHA-256|digest/i), { timeoutMs: 60_000 });
  expect(await asked(pod)).toBe(`${RIGHT} v2`);

  bucket.freeze();
  await eventually(async () => expect(await pod.configHealth()).toMatchObject({ status: 'degraded' }), { timeoutMs: 90_000 });
  expect(await asked(pod)).toBe(`${RIGHT} v2`);
  bucket.thaw();
  await bucket.put(KEY, configFor(upstream, 'v1', { num_retries: 3 }));
  await eventually(async () => expect(await asked(pod)).toBe(`${LEFT} v1`), { timeoutMs: 90_000 });
  const report = await load.stop();
  expect(report.failures).toEqual([]);
}, 400_000);

test('twelve pods that want a new version at once download each of its files once', async () => {
  await using bucket = await startBucket();
  await using redis = await startRedis();
  await using directory = await temporaryDirectory();
  const signers = await makeSigners(directory.path);
  const local = join(directory.path, 'artifact');
  const revision = await makeArtifact(local, { name: NAME, version: 'v1', scores: { a: 0.2, b: 0.8 }, privateKey: signers.privateKey, paddingBytes: 20 * 1024 * 1024 });
  await uploadArtifact(bucket, local, `${NAME}-v1`);
  const names = Array.from({ length: 12 }, (_, index) => `pod-${String(index)}`);
  const apps = await Promise.all(names.map(async (name) => {
    const home = join(directory.path, name);
    await mkdir(join(home, 'config'), { recursive: true });
    await writeFile(join(home, 'config', 'config.yaml'), JSON.stringify({ model_list: [], router_settings: { routing_strategy: 'llmrouter-knn', routing_strategy_args: { model_name: NAME, model_version: 'v1' } } }));
    return spawnApp('model-sync', { deadlineMs: 120_000, env: {
      ...bucket.env, POD_NAME: name, REDIS_URL: redis.url, CONFIG_DIR: join(home, 'config'), MODELS_DIR: join(home, 'models'), RUN_DIR: join(home, 'run'), MODEL_SIGNING_PUBLIC_KEYS: signers.publicKeyFile, HEALTH_PORT: '0', MODEL_SYNC_INTERVAL: '2',
    } });
  }));
  try {
    for (const name of names) await eventually(async () => expect(await readlink(join(directory.path, name, 'models', NAME, 'current'))).toBe(`generations/${revision}`), { timeoutMs: 120_000 });
    const origin = bucket.requests.filter((line) => /^GET \/[^/]+\/models\//.test(line) && !line.includes('manifest.json')).sort();
    expect(origin.map((line) => line.split('/').at(-1))).toEqual(['model.onnx', 'padding.bin']);
  } finally {
    await Promise.all(apps.map((app) => app[Symbol.asyncDispose]()));
  }
}, 400_000);
