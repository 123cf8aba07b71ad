import { openObjectStore } from '@pointsman/object-store';
import { startObjectStore, temporaryDirectory } from '@pointsman/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startFakeMlflow, type FakeMlflow } from './fake-mlflow.fixture.ts';
import { createMlflowRegistry } from './mlflow-registry.ts';
import { describeModelRegistry } from './model-registry.conformance.ts';
import { createObjectStoreDeployments, type Deployment } from './object-store-deployments.ts';
import { createObjectStoreRegistry } from './object-store-registry.ts';
import { openModelRegistry } from './open-model-registry.ts';

describeModelRegistry('a folder', async () => {
  const directory = await temporaryDirectory();
  const [one, two] = [await openObjectStore(`file://${directory.path}`, {}), await openObjectStore(`file://${directory.path}`, {})];
  return { registry: createObjectStoreRegistry(one), other: createObjectStoreRegistry(two), [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
});

describeModelRegistry('a bucket', async () => {
  const running = await startObjectStore();
  const open = () => openObjectStore(running.env['OBJECT_STORE_URL'] ?? `s3://${running.env['S3_BUCKET'] ?? ''}`, {
    endpoint: running.env['S3_ENDPOINT'] ?? '', credentials: { accessKeyId: running.env['AWS_ACCESS_KEY_ID'] ?? '', secretAccessKey: running.env['AWS_SECRET_ACCESS_KEY'] ?? '' },
  });
  return { registry: createObjectStoreRegistry(await open()), other: createObjectStoreRegistry(await open()), [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() };
});

describeModelRegistry('MLflow, as its REST API is documented', async () => {
  const fake = await startFakeMlflow();
  return { registry: createMlflowRegistry({ url: fake.url }), other: createMlflowRegistry({ url: `${fake.url}/` }), [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose]() };
});

describe('what only MLflow has', () => {
  let fake: FakeMlflow;
  beforeAll(async () => {
    fake = await startFakeMlflow();
  });
  afterAll(() => fake[Symbol.asyncDispose]());
  beforeEach(() => {
    fake.instead = undefined;
    fake.artifactRoot = 'mlflow-artifacts:';
    fake.authorizations.length = 0;
  });

  test('artifacts go through the proxy of the server, below the run', async () => {
    const registry = createMlflowRegistry({ url: fake.url });
    const run = await registry.startRun({ experiment: 'e', name: 'n' });
    expect(await registry.logArtifact(run.id, 'plots/curve.txt', 'abc')).toBe('stored');
    expect([...fake.artifacts]).toEqual([[expect.stringMatching(new RegExp(`^1/${run.id}/artifacts/plots/curve.txt$`)), 'abc']]);
  });

  test('artifacts of a run that keeps them elsewhere are skipped, and that is said', async () => {
    fake.artifactRoot = 's3://somewhere';
    const registry = createMlflowRegistry({ url: fake.url });
    const run = await registry.startRun({ experiment: 'e', name: 'n' });
    expect(await registry.logArtifact(run.id, 'card.md', 'abc')).toBe('skipped');
  });

  test('credentials go as a token, or as user and password, and never into messages', async () => {
    await createMlflowRegistry({ url: fake.url, token: 'secret-token', username: 'u', password: 'p' }).list('m');
    await createMlflowRegistry({ url: fake.url, username: 'ada', password: 'pw' }).list('m');
    const inUrl = createMlflowRegistry({ url: fake.url.replace('//', '//eve:hidden@') });
    await inUrl.list('m');
    expect([...new Set(fake.authorizations)]).toEqual(['Bearer secret-token', `Basic ${Buffer.from('ada:pw').toString('base64')}`, `Basic ${Buffer.from('eve:hidden').toString('base64')}`]);
    expect(inUrl.place).toBe(fake.url);
    fake.instead = (_req, res) => res.writeHead(401).end('go away');
    await expect(inUrl.list('m')).rejects.toMatchObject({ kind: 'denied', message: expect.not.stringContaining('hidden') as string });
  });

  test('a server that hangs, breaks, redirects or is none is told apart', async () => {
    const registry = createMlflowRegistry({ url: fake.url, timeoutMs: 100 });
    fake.instead = () => undefined;
    await expect(registry.list('m')).rejects.toMatchObject({ kind: 'timeout', retryable: true });
    fake.instead = (_req, res) => res.writeHead(503).end('busy');
    await expect(registry.list('m')).rejects.toMatchObject({ kind: 'unavailable', retryable: true });
    fake.instead = (_req, res) => res.writeHead(302, { location: 'http://127.0.0.1:1/' }).end();
    await expect(registry.list('m')).rejects.toMatchObject({ kind: 'unavailable' });
    fake.instead = (_req, res) => res.end('<html>hello</html>');
    await expect(registry.list('m')).rejects.toMatchObject({ message: expect.stringContaining('no MLflow') as string });
    fake.instead = (_req, res) => res.end(Buffer.alloc(17 * 1024 * 1024, ' '));
    await expect(createMlflowRegistry({ url: fake.url }).list('m')).rejects.toMatchObject({ kind: 'refused', message: expect.stringContaining('16 MiB') as string });
    await expect(createMlflowRegistry({ url: 'http://127.0.0.1:1' }).list('m')).rejects.toMatchObject({ kind: 'unavailable' });
    expect(() => createMlflowRegistry({ url: 'file:///mlruns' })).toThrow(/MLFLOW_TRACKING_URI/);
  });

  test('the registry is MLflow where one is named, else the store', async () => {
    await using directory = await temporaryDirectory();
    const store = await openObjectStore(`file://${directory.path}`, {});
    expect([openModelRegistry({}, store).kind, openModelRegistry({ MLFLOW_TRACKING_URI: '' }, store).kind, openModelRegistry({ MLFLOW_TRACKING_URI: fake.url }, store).kind]).toEqual(['object-store', 'object-store', 'mlflow']);
  });
});

test('deployments in the store are told newest first', async () => {
  await using directory = await temporaryDirectory();
  const ledger = createObjectStoreDeployments(await openObjectStore(`file://${directory.path}`, {}));
  const row = (version: string, at: string): Deployment => ({ model: 'knn', version, digest: null, environment: 'prod', percent: 5, action: 'start', actor: 'ada', reason: '', from: 'v1', to: 'v1', at });
  expect(await ledger.list('knn', 10)).toEqual([]);
  await Promise.all([ledger.add(row('v2', '2026-11-23T10:00:00.000Z')), ledger.add(row('v3', '2026-11-23T10:00:01.000Z')), ledger.add(row('v4', '2026-11-23T10:00:02.000Z'))]);
  expect((await ledger.list('knn', 2)).map(({ version }) => version)).toEqual(['v4', 'v3']);
});
