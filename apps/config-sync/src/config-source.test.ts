import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { configRevision, parseGatewayConfig, readConfigFiles } from '@pointsman/gateway-config';
import { openObjectStore } from '@pointsman/object-store';
import { createStagingDirectory, RejectedRevisionError } from '@pointsman/sync';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { createConfigSource, type ConfigSource, type ConfigSourceOptions } from './config-source.ts';
import { createVerifyConfig } from './verify-config.ts';

const never = new AbortController().signal;
const config = (name: string): string => `model_list:\n  - model_name: ${name}\n    litellm_params: { model: openai/gpt-4o }\n`;
const verify = createVerifyConfig();

interface Bench extends AsyncDisposable {
  readonly source: ConfigSource;
  readonly reads: string[];
  put(key: string, text: string): Promise<void>;
  remove(key: string): Promise<void>;
  /** head, fetch and verify; the directory that would be published. */
  take(): Promise<string>;
}

async function bench(more: Partial<ConfigSourceOptions> = {}): Promise<Bench> {
  const directory = await temporaryDirectory();
  const objects = join(directory.path, 'objects');
  await mkdir(objects);
  const store = await openObjectStore(`file://${objects}`);
  const reads: string[] = [];
  const source = createConfigSource({ store, configKey: 'prod/config.yaml', podName: 'pod-1', onRead: (key) => (outcome) => reads.push(`${outcome} ${key}`), ...more });
  return {
    source,
    reads,
    async put(key, text) {
      await mkdir(dirname(join(objects, key)), { recursive: true });
      await writeFile(join(objects, key), text);
    },
    remove: (key) => rm(join(objects, key)),
    async take() {
      const revision = await source.head(never);
      const staged = await createStagingDirectory(directory.path);
      await source.fetch(revision, staged);
      await verify(staged, revision);
      return staged;
    },
    [Symbol.asyncDispose]: async () => {
      store.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

const canary = (percent: number, key = 'prod/canary.yaml'): string => JSON.stringify({ stable: { config_key: 'prod/config.yaml' }, canary: { config_key: key, percent, started_at: '2026-01-01T00:00:00Z', started_by: 'ann' } });
const rejection = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => 'accepted', (error: unknown) => (error instanceof RejectedRevisionError ? error.message : error));

test('the revision is the one that the gateway tells of the same files, and what has not changed is not downloaded again', async () => {
  await using store = await bench();
  await store.put('prod/config.yaml', config('a'));
  await store.put('prod/llm_candidates.json', '{}');
  await store.put('prod/degraded-mode.yaml', 'memory_cache_mb: 5\n');
  const staged = await store.take();
  const revision = await store.source.head(never);
  const files = await readConfigFiles('config.yaml', (path) => readFile(join(staged, path), 'utf8'));
  expect(revision).toBe(configRevision({ files, candidates: '{}', degradedMode: 'memory_cache_mb: 5\n' }));
  expect(parseGatewayConfig({ files, env: {}, candidates: '{}', degradedMode: 'memory_cache_mb: 5\n', providerIds: new Set(['openai']) }).config.revision).toBe(revision);
  expect(store.reads.slice(4).toSorted()).toEqual(['absent prod/release.json', 'unchanged prod/config.yaml', 'unchanged prod/degraded-mode.yaml', 'unchanged prod/llm_candidates.json']);
  await store.remove('prod/llm_candidates.json');
  expect(await store.source.head(never)).not.toBe(revision);
  expect((await readdir(await store.take())).sort()).toEqual(['config.yaml', 'degraded-mode.yaml']);
});

test('included files are published at the same relative place', async () => {
  await using store = await bench();
  await store.put('prod/config.yaml', `include: [models/one.yaml]\n`);
  await store.put('prod/models/one.yaml', `include: [../two.yaml]\n${config('one')}`);
  await store.put('prod/two.yaml', config('two'));
  const staged = await store.take();
  expect((await readdir(staged, { recursive: true })).sort()).toEqual(['config.yaml', 'models', 'models/one.yaml', 'two.yaml']);
  const before = await store.source.head(never);
  await store.put('prod/two.yaml', config('three'));
  expect(await store.source.head(never)).not.toBe(before);
});

test.each([
  ['../staging/secrets.yaml', 'leads out of the folder'],
  ['/etc/passwd', 'leads out of the folder'],
  ['a/../../up.yaml', 'leads out of the folder'],
  ['a\\\\b.yaml', 'leads out of the folder'],
])('an include of %s is refused with the reason', async (entry, words) => {
  await using store = await bench();
  await store.put('staging/secrets.yaml', config('stolen'));
  await store.put('prod/config.yaml', `include: ["${entry}"]\n${config('a')}`);
  expect(await rejection(store.take())).toContain(words);
});

test('an include that is not there is told with its place', async () => {
  await using store = await bench();
  await store.put('prod/config.yaml', `include: [nowhere.yaml]\n${config('a')}`);
  expect(await rejection(store.take())).toContain('config.yaml:1:11 include[0]: the included file was not found');
});

test.each([
  ['config.yaml', `${config('a')}router_settings: { num_retrys: 3 }\n`, /config\.yaml:4:\d+ router_settings\.num_retrys: .*num_retries/],
  ['config.yaml', 'model_list:\n  - model_name: a\n    litellm_params: { model: opnai/x }\n', /config\.yaml:3:\d+ model_list\[0\]\.litellm_params\.model: .*openai/],
  ['config.yaml', `${config('a')}router_settings: { routing_strategy: llmrouter-knnn }\n`, /router_settings\.routing_strategy/],
  ['config.yaml', '', /empty/],
  ['llm_candidates.json', '{', /llm_candidates\.json: .*not valid JSON/],
  ['degraded-mode.yaml', 'breaker: { failures: none }\n', /degraded-mode\.yaml:1:\d+ breaker\.failures: expected/],
])('a bad %s is rejected with file, path and what was expected', async (name, text, words) => {
  await using store = await bench();
  await store.put('prod/config.yaml', config('a'));
  await store.put(`prod/${name}`, text);
  expect(await rejection(store.take())).toMatch(words);
});

test('what only the gateway’s environment holds is no reason to reject', async () => {
  await using store = await bench();
  await store.put('prod/config.yaml', 'model_list:\n  - model_name: a\n    litellm_params: { model: openai/x, api_key: os.environ/OPENAI_API_KEY, rpm: os.environ/RPM }\ngeneral_settings: { master_key: os.environ/LITELLM_MASTER_KEY }\n');
  const staged = await store.take();
  const warnings: unknown[] = [];
  await verify(staged, await store.source.head(never), (found) => warnings.push(...found));
  expect(warnings).toEqual([]);
});

test('no configuration in the store is a failure, one that is too large is rejected', async () => {
  await using store = await bench();
  await expect(store.source.head(never)).rejects.toThrow('The store has no prod/config.yaml.');
  await store.put('prod/config.yaml', `#${'x'.repeat(9 << 20)}\n`);
  expect(await rejection(store.source.head(never))).toMatch(/prod\/config\.yaml .* 8388608/);
});

test.each([
  ['{', 'release.json: not valid JSON'],
  ['{"stable": {"config_key": "../other"}}', 'stable.config_key'],
  ['{"stable": {"config_key": "prod/config.yaml"}, "canry": {}}', 'canry'],
  [canary(101), 'canary.percent'],
])('a release that is %j is rejected and says why', async (text, words) => {
  await using store = await bench();
  await store.put('prod/config.yaml', config('a'));
  await store.put('prod/release.json', text);
  expect(await rejection(store.source.head(never))).toContain(words);
});

test('the release names the stable configuration, published as config.yaml whatever its key', async () => {
  await using store = await bench();
  await store.put('prod/release.json', JSON.stringify({ stable: { config_key: 'prod/releases/2026-01.yaml' } }));
  await store.put('prod/releases/2026-01.yaml', config('january'));
  await store.put('prod/releases/llm_candidates.json', '{}');
  const staged = await store.take();
  expect(await readFile(join(staged, 'config.yaml'), 'utf8')).toBe(config('january'));
  expect(await readFile(join(staged, 'llm_candidates.json'), 'utf8')).toBe('{}');
});

test('a canary file that includes the stable one is refused, since the names would collide', async () => {
  await using store = await bench({ livePods: () => Promise.resolve({ pods: ['pod-1'], isNew: false, canaries: new Map() }) });
  await store.put('prod/config.yaml', config('a'));
  await store.put('prod/canary.yaml', `include: [config.yaml]\n`);
  await store.put('prod/release.json', canary(100));
  const revision = await store.source.head(never);
  expect(store.source.rejectedCanary?.reason).toContain('"config.yaml" is the name under which prod/canary.yaml itself is published');
  expect(store.source.isCanary).toBe(false);
  expect(revision).toBe(configRevision({ files: [{ path: 'config.yaml', text: config('a') }] }));
});

test('a canary that is rejected gives way to stable, which the pod follows, and says so until the canary changes', async () => {
  await using store = await bench({ livePods: () => Promise.resolve({ pods: ['pod-1'], isNew: false, canaries: new Map() }) });
  await store.put('prod/config.yaml', config('stable'));
  await store.put('prod/canary.yaml', 'model_list: nonsense\n');
  await store.put('prod/release.json', canary(10));
  const bad = await store.source.head(never);
  expect(store.source.isCanary).toBe(true);
  expect(store.source.canaryRuns).toBe(true);
  store.source.noteRejection({ revision: bad, reason: 'model_list: expected a list' });
  const stable = await store.source.head(never);
  expect(stable).not.toBe(bad);
  expect(store.source).toMatchObject({ isCanary: false, canaryRuns: true, rejectedCanary: { revision: bad, reason: 'model_list: expected a list' } });
  await store.put('prod/config.yaml', config('stable two'));
  expect([stable, bad]).not.toContain(await store.source.head(never));
  await store.put('prod/canary.yaml', config('canary'));
  await store.source.head(never);
  expect(store.source).toMatchObject({ isCanary: true, rejectedCanary: undefined });
  await store.put('prod/release.json', canary(0));
  await store.source.head(never);
  expect(store.source).toMatchObject({ isCanary: false, canaryRuns: false });
});

test('a pod that has just joined serves stable until it knows the others, and at 100 percent the canary at once', async () => {
  await using store = await bench({ livePods: () => Promise.resolve({ pods: ['pod-1'], isNew: true, canaries: new Map() }) });
  await store.put('prod/config.yaml', config('stable'));
  await store.put('prod/canary.yaml', config('canary'));
  for (const [percent, expected] of [[99, false], [100, true]] as const) {
    await store.put('prod/release.json', canary(percent));
    await store.source.head(never);
    expect(store.source.isCanary).toBe(expected);
  }
});

test('keys that a folder cannot hold together are rejected', async () => {
  const bodies: Readonly<Record<string, string>> = { 'prod/config.yaml': `include: [a, a/b.yaml]\n`, 'prod/a': config('a'), 'prod/a/b.yaml': config('b') };
  await using store = await bench({
    store: { url: 's3://bucket', read: (key) => Promise.resolve(bodies[key] === undefined ? undefined : { head: { key, bytes: 1, etag: key, modifiedAt: new Date(0) }, body: Buffer.from(bodies[key]) }) },
  });
  expect(await rejection(store.take())).toContain('cannot be published beside the other files');
});
