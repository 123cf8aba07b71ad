import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openObjectStore } from '@pointsman/object-store';
import { connectRedis, type RedisConnection } from '@pointsman/redis';
import { startRedis, temporaryDirectory, type RunningRedis } from '@pointsman/testing';
import { ManualClock } from '@pointsman/timing';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createConfigSource, type ConfigSource } from './config-source.ts';
import { createPodHeartbeats, heartbeatKeys, rememberLivePods, type PodHeartbeats } from './pod-heartbeats.ts';

const never = new AbortController().signal;
let server: RunningRedis;
let redis: RedisConnection;

beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis({ url: server.url, commandTimeoutMs: 5_000 });
  await redis.whenReady();
});
afterAll(async () => {
  await redis.close();
  await server[Symbol.asyncDispose]();
});
beforeEach(() => server.command('FLUSHALL'));

const heartbeats = (podName: string, silentAfterMs = 60_000): PodHeartbeats => createPodHeartbeats({ redis, configKey: 'prod/config.yaml', podName, silentAfterMs });
const status = (pod: string) => ({ pod, revision: 'r1', canary: false });
const { pods: podsKey, statuses: statusesKey } = heartbeatKeys('prod/config.yaml');

test('pods see each other, know whether they are new, and tell what they serve by the time of Redis', async () => {
  expect(await heartbeats('a').beat(status('a'), never)).toEqual({ isNew: true, pods: ['a'], canaries: new Map() });
  expect(await heartbeats('b').beat({ pod: 'b', revision: null, canary: true, rollout: 'r' }, never)).toEqual({ isNew: true, pods: ['a', 'b'], canaries: new Map([['b', 'r']]) });
  const again = await heartbeats('a').beat(status('a'), never);
  expect(again?.isNew).toBe(false);
  expect(again?.pods.toSorted()).toEqual(['a', 'b']);
  const told: unknown = JSON.parse(String(await server.command('HGET', statusesKey, 'b')));
  expect(told).toEqual({ pod: 'b', revision: null, canary: true, rollout: 'r', at: Number(await server.command('ZSCORE', podsKey, 'b')) });
  await heartbeats('b').leave();
  expect((await heartbeats('a').beat(status('a'), never))?.pods).toEqual(['a']);
  expect(await server.command('HKEYS', statusesKey)).toEqual(['a']);
});

test('a pod that was silent drops out, and what it said with it; whoever comes back is new', async () => {
  await heartbeats('gone').beat(status('gone'), never);
  const [seconds] = await server.command('TIME') as readonly string[];
  await server.command('ZADD', podsKey, String(Number(seconds) * 1000 - 61_000), 'gone');
  expect((await heartbeats('a').beat(status('a'), never))?.pods).toEqual(['a']);
  expect(await server.command('HKEYS', statusesKey)).toEqual(['a']);
  expect((await heartbeats('gone').beat(status('gone'), never))?.isNew).toBe(true);
});

test('environments do not see each other, and the list is gone when nobody beats any more', async () => {
  await heartbeats('a').beat(status('a'), never);
  const other = createPodHeartbeats({ redis, configKey: 'staging/config.yaml', podName: 'b', silentAfterMs: 60_000 });
  expect((await other.beat(status('b'), never))?.pods).toEqual(['b']);
  for (const key of [podsKey, statusesKey]) expect(Number(await server.command('PTTL', key))).toBeGreaterThan(0);
});

test('the list is bounded whoever writes to it', async () => {
  const [seconds] = await server.command('TIME') as readonly string[];
  for (let n = 0; n < 11; n += 1) await server.command('ZADD', podsKey, ...Array.from({ length: 1_000 }, (_, m) => [String(Number(seconds) * 1000), `pod-${String(n * 1_000 + m)}`]).flat());
  const live = await heartbeats('zzz').beat(status('zzz'), never);
  expect(live?.pods).toHaveLength(10_000);
  expect(live?.pods).toContain('zzz');
});

test('a Redis that is away is no list, not a failure; the last known pods count for a while, also when it comes back empty', async () => {
  const clock = new ManualClock();
  const replies = [{ pods: ['a', 'b'], isNew: false, canaries: new Map<string, string>() }, undefined, { pods: ['a'], isNew: true, canaries: new Map<string, string>() }, undefined, { pods: ['a'], isNew: true, canaries: new Map<string, string>() }];
  const live = rememberLivePods({ beat: () => Promise.resolve(replies.shift()) }, { status: () => Promise.resolve(status('a')), rememberMs: 180_000, clock });
  expect((await live(never))?.pods).toEqual(['a', 'b']);
  clock.advance(100_000);
  expect((await live(never))?.pods).toEqual(['a', 'b']);
  clock.advance(79_000);
  expect(await live(never), 'it started again, empty').toMatchObject({ pods: ['a', 'b'], isNew: false });
  clock.advance(1_001);
  expect(await live(never)).toBeUndefined();
  expect(await live(never)).toMatchObject({ pods: ['a'], isNew: true });
  const nowhere = connectRedis({ url: 'redis://127.0.0.1:1', commandTimeoutMs: 50 });
  expect(await createPodHeartbeats({ redis: nowhere, configKey: 'k', podName: 'a', silentAfterMs: 1_000, connectWithinMs: 50 }).beat(status('a'), never)).toBeUndefined();
  await nowhere.close();
});

test('of ten pods one, five and all serve the canary as the percentage grows, none goes back, and another takes over when the first one is gone', async () => {
  await using directory = await temporaryDirectory();
  await mkdir(join(directory.path, 'prod'));
  const store = await openObjectStore(`file://${directory.path}`);
  const put = (name: string, text: string): Promise<void> => writeFile(join(directory.path, 'prod', name), text);
  const release = (percent: number): Promise<void> => put('release.json', JSON.stringify({ stable: { config_key: 'prod/config.yaml' }, canary: { config_key: 'prod/canary.yaml', percent, started_at: '2026-01-01T00:00:00Z', started_by: 'ann' } }));
  await put('config.yaml', 'model_list: []\n');
  await put('canary.yaml', 'model_list: [] # canary\n');
  await release(10);
  let members: { readonly pod: string; readonly source: ConfigSource; readonly beats: PodHeartbeats }[] = Array.from({ length: 10 }, (_, n) => {
    const pod = `gateway-${String(n)}`;
    const beats = heartbeats(pod);
    const source: ConfigSource = createConfigSource({ store, configKey: 'prod/config.yaml', podName: pod, livePods: (signal) => beats.beat({ ...status(pod), canary: source.isCanary, rollout: source.rollout }, signal) });
    return { pod, beats, source };
  });
  const pass = async (): Promise<string[]> => {
    await Promise.all(members.map(({ source }) => source.head(never)));
    return members.filter(({ source }) => source.isCanary).map(({ pod }) => pod);
  };
  expect(await pass()).toEqual([]);
  const ten = await pass();
  expect(ten).toHaveLength(1);
  const [first] = ten;
  for (const joined of ['gateway-a', 'gateway-b', 'gateway-c']) await heartbeats(joined).beat(status(joined), never);
  expect(await pass(), 'pods that join do not move it').toEqual(ten);
  for (const joined of ['gateway-a', 'gateway-b', 'gateway-c']) await heartbeats(joined).leave();
  members = members.filter(({ pod, beats }) => pod !== first || void beats.leave());
  await redis.call('PING');
  const heir = await pass();
  expect(heir).toHaveLength(1);
  await release(50);
  const half = await pass();
  expect(half).toHaveLength(5);
  expect(half).toEqual(expect.arrayContaining(heir));
  await release(100);
  expect(await pass()).toHaveLength(9);
  await release(0);
  expect(await pass()).toEqual([]);
  store.close();
});
