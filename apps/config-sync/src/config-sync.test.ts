import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, spawnApp, startObjectStore, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { healthOf, metricOf, startPod } from './pod.fixture.ts';

const config = (name: string, more = ''): string => `model_list:\n  - model_name: ${name}\n    litellm_params: { model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY }\n${more}`;
const revisionOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);

test('a configuration is published and served; a bad one changes nothing and is explained; what the gateway refuses gives way; the next good one is served', async () => {
  await using store = await startObjectStore();
  await using pod = await startPod({ spawnApp, temporaryDirectory });
  await writeFile(join(pod.configDir, 'config.yaml'), 'model_list: [] # from before\n');
  await store.put('prod/config.yaml', config('one'));
  const gateway = await pod.startGateway();
  const sync = await pod.startConfigSync(store.env);
  const first = revisionOf(config('one'));
  await eventually(async () => expect(await healthOf(sync)).toMatchObject({ status: 'ok', code: 200, revision: first, consecutive_failures: 0 }));
  expect(await pod.served()).toBe(first);
  expect(await pod.published()).toBe(first);
  expect(await readFile(join(pod.configDir, 'config.yaml'), 'utf8')).toBe(config('one'));
  expect(await readFile(join(pod.configDir, 'config.yaml.before-sync'), 'utf8')).toBe('model_list: [] # from before\n');
  expect(sync.logs()).toContainEqual(expect.objectContaining({ msg: 'published', revision: first, trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string }));

  // Unchanged: questions, no downloads, no nudges.
  const passes = await metricOf(sync, 'sync_passes_total{app="config-sync",outcome="unchanged"}') ?? 0;
  const bytes = await metricOf(sync, 'sync_bytes_total{app="config-sync"}');
  await eventually(async () => expect(await metricOf(sync, 'sync_passes_total{app="config-sync",outcome="unchanged"}')).toBeGreaterThan(passes + 2));
  expect(await metricOf(sync, 'sync_bytes_total{app="config-sync"}')).toBe(bytes);

  await store.put('prod/config.yaml', config('two', 'router_settings: { num_retrys: 2 }\n'));
  await eventually(async () => expect(await healthOf(sync)).toMatchObject({ status: 'ok', code: 200, revision: first, rejected: { reason: expect.stringMatching(/config\.yaml:4:\d+ router_settings\.num_retrys: .*num_retries/) as string } }));
  expect(await metricOf(sync, 'sync_passes_total{app="config-sync",outcome="rejected"}')).toBeGreaterThan(0);
  expect(await pod.published()).toBe(first);
  expect(await pod.served()).toBe(first);

  await store.put('prod/config.yaml', config('three', '# the gateway refuses this\n'));
  const refused = revisionOf(config('three', '# the gateway refuses this\n'));
  await eventually(async () => expect(await healthOf(sync)).toMatchObject({ status: 'ok', code: 200, revision: first, rejected: { revision: refused, reason: expect.stringContaining('the environment has no SUCH_KEY') as string } }));
  expect(await pod.published()).toBe(first);

  await store.put('prod/release.json', '{"stable": 1}');
  await eventually(async () => expect(await healthOf(sync)).toMatchObject({ status: 'ok', rejected: { reason: expect.stringMatching(/^release\.json: .*stable/) as string } }));
  await store.put('prod/release.json', JSON.stringify({ stable: { config_key: 'prod/four.yaml' } }));
  await store.put('prod/four.yaml', config('four'));
  const fourth = revisionOf(config('four'));
  await eventually(async () => expect(await healthOf(sync)).toMatchObject({ status: 'ok', revision: fourth }));
  expect(await healthOf(sync)).not.toHaveProperty('rejected');
  expect(await pod.served()).toBe(fourth);

  // A gateway that starts again is asked, and one that is gone is told of without taking the pod out.
  await gateway.stop('SIGKILL');
  await eventually(async () => expect(await healthOf(sync)).toMatchObject({ status: 'degraded', code: 200, revision: fourth }));
  expect(sync.output()).toContain('No gateway runs in this pod');
  await pod.startGateway();
  await eventually(async () => expect(await healthOf(sync)).toMatchObject({ status: 'ok', revision: fourth }));
  expect(await sync.stop()).toBe(0);
}, 180_000);

test('whatever is wrong with the store, the last good configuration stays, the gauge says so, and recovery needs no restart', async () => {
  await using store = await startObjectStore();
  await using pod = await startPod({ spawnApp, temporaryDirectory });
  const large = (name: string): string => config(name, `# ${'x'.repeat(64_000)}\n`);
  store.fail({ status: 500 });
  const sync = await pod.startConfigSync(store.env);
  await pod.startGateway();
  await eventually(async () => expect(await healthOf(sync)).toMatchObject({ status: 'starting', code: 503, revision: null, consecutive_failures: expect.any(Number) as number }));
  await eventually(async () => expect((await healthOf(sync)).consecutive_failures).toBeGreaterThan(0));
  store.heal();
  await store.put('prod/config.yaml', large('start'));
  let served = revisionOf(large('start'));
  await eventually(async () => expect(await healthOf(sync)).toMatchObject({ status: 'ok', revision: served }));
  const faults: readonly (readonly [name: string, begin: () => unknown, end: () => unknown])[] = [
    ['refused', () => store.stop(), () => store.restart()],
    ['hanging', () => store.fail({ hang: true }), () => store.heal()],
    ['500', () => store.fail({ status: 500 }), () => store.heal()],
    ['403', () => store.fail({ status: 403 }), () => store.heal()],
    ['reset', () => store.fail({ reset: true }), () => store.heal()],
    ['1 KB/s', () => store.fail({ slow: 1_000 }), () => store.heal()],
  ];
  for (const [name, begin, end] of faults) {
    await begin();
    await store.put('prod/config.yaml', large(name));
    await eventually(async () => expect(await healthOf(sync), name).toMatchObject({ status: 'degraded', code: 200, revision: served }));
    expect(await metricOf(sync, 'gateway_degraded_mode{service="s3"}'), name).toBe(1);
    expect(await pod.published()).toBe(served);
    await end();
    served = revisionOf(large(name));
    await eventually(async () => expect(await healthOf(sync), name).toMatchObject({ status: 'ok', revision: served, consecutive_failures: 0 }));
    expect(await metricOf(sync, 'gateway_degraded_mode{service="s3"}'), name).toBe(0);
    expect(await pod.served()).toBe(served);
  }
  expect(sync.output()).not.toContain(store.secretAccessKey);
}, 180_000);
