import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@pointsman/errors';
import type { GatewayConfig } from '@pointsman/gateway-config';
import { openObjectStore } from '@pointsman/object-store';
import { TEXT_FEATURES } from '@pointsman/routing';
import { createLogger, createMetrics } from '@pointsman/telemetry';
import { eventually, startRedis, startRedisCluster, temporaryDirectory } from '@pointsman/testing';
import { systemClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { newRecord } from '../dispatch/new-record.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import type { Deployment } from '../snapshot/snapshot.ts';
import { candidate, config, GROUP, opened } from './bandits.fixture.ts';
import { openBandits, type Bandits } from './open-bandits.ts';

function answered(bandits: Bandits, requestId: string, change: Partial<ExchangeRecord> = {}, settings: GatewayConfig = config): void {
  const text = new Float32Array(TEXT_FEATURES.length).fill(0.5);
  const features = { text, ngramIndex: new Int32Array(1), ngramValue: new Float32Array(1), embedding: new Float32Array(0) };
  bandits.ended(requestId, {
    ...newRecord({ operation: 'chat', stream: false, requestedModel: GROUP, group: GROUP, endUser: undefined }), deployment: { candidate } as Deployment,
    decision: { order: [candidate], scores: [1], strategy: 'contextual-bandit', modelVersion: '', propensity: 1, features, tookMs: 0, problem: undefined }, ...change,
  }, settings);
}

test('feedback about a request is a reward, once; about another it is none', async () => {
  await using directory = await temporaryDirectory();
  const { bandits, count, sum } = opened(directory.path);
  answered(bandits, 'r1');
  expect(await bandits.rate('r1', 0.5)).toBe(true);
  expect(await bandits.rate('r1', 1)).toBe(false);
  expect(await bandits.rate('unheard of', 1)).toBe(false);
  expect([count(), sum()]).toEqual([1, 0.5]);
  await bandits.close();
});

test('a failure of the provider is a reward of 0 unless the configuration says otherwise; a client\'s mistake and a client that left say nothing', async () => {
  await using directory = await temporaryDirectory();
  const { bandits, count, sum } = opened(directory.path);
  answered(bandits, 'r1', { error: new AppError('upstream_failed', 'x', 'x') });
  expect([count(), sum()]).toEqual([1, 0]);
  answered(bandits, 'r2', { error: new AppError('invalid_request', 'x', 'x') });
  answered(bandits, 'r3', { clientGone: true });
  answered(bandits, 'r4', { error: new AppError('upstream_failed', 'x', 'x') }, { ...config, router: { ...config.router, strategyArgs: { learn_from_errors: false } } });
  answered(bandits, 'r5', { decision: undefined });
  expect(count()).toBe(1);
  for (const id of ['r2', 'r3', 'r4', 'r5']) expect(await bandits.rate(id, 1)).toBe(false);
  await bandits.close();
});

test('without Redis a restart remembers, and a snapshot that is broken does not stop it', async () => {
  await using directory = await temporaryDirectory();
  const first = opened(directory.path);
  for (let index = 0; index < 5; index += 1) first.bandits.judged({ candidate, features: undefined, score: 1 });
  first.bandits.learner(GROUP);
  for (let index = 0; index < 5; index += 1) first.bandits.judged({ candidate, features: undefined, score: 1 });
  await first.bandits.close();
  const next = opened(directory.path);
  next.bandits.learner(GROUP);
  await next.bandits.exchange();
  // The first five came before anybody routed the group here.
  expect(next.count()).toBe(5);
  await next.bandits.close();
  const other = openBandits({ redisUrl: undefined, home: join(directory.path, 'none'), environment: 'prod', openStore: undefined, replicaId: 'x', clock: systemClock, logger: createLogger({ service: 'test', level: 'error', write: () => undefined }), metrics: createMetrics({ processMetrics: false }) });
  other.learner('a');
  await other.close();
});

test('two replicas learn as one, feedback may reach the one that did not answer, and each reward counts once', async () => {
  await using directory = await temporaryDirectory();
  await using redis = await startRedis();
  const one = opened(directory.path, { redisUrl: redis.url });
  const two = opened(directory.path, { redisUrl: redis.url });
  for (const { bandits } of [one, two]) bandits.learner(GROUP);
  await eventually(async () => {
    answered(one.bandits, 'first');
    expect(await two.bandits.rate('first', 0.5)).toBe(true);
  });
  expect(await one.bandits.rate('first', 1)).toBe(false);
  for (let index = 0; index < 20; index += 1) {
    answered(index % 2 === 0 ? one.bandits : two.bandits, `r${String(index)}`);
    await (index % 3 === 0 ? one.bandits : two.bandits).rate(`r${String(index)}`, 0.25);
    if (index % 4 === 0) await Promise.all([one.bandits.exchange(), two.bandits.exchange()]);
  }
  for (const { bandits } of [one, two, one]) await bandits.exchange();
  expect([one.count(), two.count()]).toEqual([21, 21]);
  expect([one.sum(), two.sum()]).toEqual([5.5, 5.5]);
  expect([...one.bandits.learner(GROUP).totals().get('openai/one')?.values.subarray(1) ?? []]).toEqual([...two.bandits.learner(GROUP).totals().get('openai/one')?.values.subarray(1) ?? []]);
  await Promise.all([one.bandits.close(), two.bandits.close()]);
});

test('Redis killed and back, empty: each replica learns on alone, and the sums are exact to the last bit afterwards', async () => {
  await using directory = await temporaryDirectory();
  await using redis = await startRedis();
  const replicas = [opened(directory.path, { redisUrl: redis.url }), opened(directory.path, { redisUrl: redis.url }), opened(directory.path, { redisUrl: redis.url })];
  const learn = (from: number, score: number): void => {
    for (const [index, { bandits }] of replicas.entries()) for (let each = 0; each < from + index; each += 1) bandits.judged({ candidate, features: undefined, score });
  };
  for (const { bandits } of replicas) bandits.learner(GROUP);
  const exchangeAll = async (): Promise<void> => {
    for (const { bandits } of replicas) await bandits.exchange();
  };
  learn(3, 0.5); // 3 + 4 + 5
  await eventually(async () => {
    await exchangeAll();
    for (const { count } of replicas) expect(count()).toBe(12);
  });
  learn(1, 0.25); // 1 + 2 + 3, each delivered after the one before heard last: the first to come back knows too little
  await exchangeAll();
  await redis.kill();
  learn(2, 1); // 2 + 3 + 4
  await exchangeAll();
  await redis.restart();
  await eventually(async () => {
    await exchangeAll();
    for (const { count, sum } of replicas) expect([count(), sum()]).toEqual([12 + 6 + 9, 6 + 1.5 + 9]);
  }, { timeoutMs: 20_000 });
  // Nothing is counted again later.
  await exchangeAll();
  for (const { count } of replicas) expect(count()).toBe(27);
  for (const { bandits } of replicas) await bandits.close();
});

test('an answer of Redis that got lost counts its batch once', async () => {
  await using directory = await temporaryDirectory();
  await using redis = await startRedis();
  const one = opened(directory.path, { redisUrl: redis.url });
  one.bandits.learner(GROUP);
  one.bandits.judged({ candidate, features: undefined, score: 1 });
  await eventually(async () => {
    await one.bandits.exchange();
    expect(await redis.command('DBSIZE')).toBeGreaterThan(0);
  });
  one.bandits.judged({ candidate, features: undefined, score: 1 });
  redis.freeze();
  await one.bandits.exchange(); // written to the socket, answered never: the command times out
  one.bandits.judged({ candidate, features: undefined, score: 1 });
  redis.thaw();
  const two = opened(directory.path, { redisUrl: redis.url });
  two.bandits.learner(GROUP);
  await eventually(async () => {
    await one.bandits.exchange();
    await two.bandits.exchange();
    expect([one.count(), two.count()]).toEqual([3, 3]);
  });
  await Promise.all([one.bandits.close(), two.bandits.close()]);
}, 30_000);

test('it works on a cluster', async () => {
  await using directory = await temporaryDirectory();
  await using cluster = await startRedisCluster();
  const one = opened(directory.path, { redisUrl: cluster.url });
  const two = opened(directory.path, { redisUrl: cluster.url });
  for (const { bandits } of [one, two]) bandits.learner(GROUP);
  one.bandits.judged({ candidate, features: undefined, score: 1 });
  await eventually(async () => {
    await one.bandits.exchange();
    await two.bandits.exchange();
    expect(two.count()).toBe(1);
  }, { timeoutMs: 30_000 });
  await Promise.all([one.bandits.close(), two.bandits.close()]);
}, 90_000);

test('an empty Redis is filled from the object store, and one replica writes there', async () => {
  await using directory = await temporaryDirectory();
  await mkdir(join(directory.path, 'store'));
  const openStore = () => openObjectStore(`file://${directory.path}/store`);
  {
    await using redis = await startRedis();
    const one = opened(directory.path, { redisUrl: redis.url, openStore });
    one.bandits.learner(GROUP);
    await eventually(async () => {
      await one.bandits.exchange();
      expect(await redis.command('DBSIZE')).toBeGreaterThan(0);
    });
    for (let index = 0; index < 4; index += 1) one.bandits.judged({ candidate, features: undefined, score: 0.5 });
    // One replica writes as long as it lives, also what another one learned.
    const idle = opened(directory.path, { redisUrl: redis.url, openStore });
    idle.bandits.learner(GROUP);
    await one.bandits.close();
    await eventually(async () => {
      await idle.bandits.exchange();
      expect(idle.count()).toBe(4);
    });
    await idle.bandits.close();
  }
  const store = await openStore();
  const keys: string[] = [];
  for await (const { key } of store.list('bandit/prod/')) keys.push(key);
  expect(keys).toHaveLength(1);
  expect(JSON.parse(await readFile(join(directory.path, 'store', keys[0] ?? ''), 'utf8'))).toMatchObject({ schema_version: 1, layout: 1, group: GROUP });
  store.close();
  await using redis = await startRedis();
  const [next, other] = [opened(directory.path, { redisUrl: redis.url, openStore }), opened(directory.path, { redisUrl: redis.url, openStore })];
  for (const { bandits } of [next, other]) bandits.learner(GROUP);
  await eventually(async () => {
    await next.bandits.exchange();
    await other.bandits.exchange();
    expect(await redis.command('DBSIZE')).toBeGreaterThan(0);
    expect([next.count(), next.sum()]).toEqual([4, 2]);
    expect([other.count(), other.sum()]).toEqual([4, 2]);
  });
  await Promise.all([next.bandits.close(), other.bandits.close()]);
});

test('while Redis is away feedback finds its decision where the request was answered, also after it came back, once', async () => {
  await using directory = await temporaryDirectory();
  await using redis = await startRedis();
  const one = opened(directory.path, { redisUrl: redis.url });
  one.bandits.learner(GROUP);
  await eventually(async () => {
    await one.bandits.exchange();
    expect(await redis.command('DBSIZE')).toBeGreaterThan(0);
  });
  await redis.kill();
  answered(one.bandits, 'during');
  answered(one.bandits, 'after');
  expect(await one.bandits.rate('during', 1)).toBe(true);
  expect(await one.bandits.rate('during', 1)).toBe(false);
  await redis.restart();
  await eventually(async () => expect(await one.bandits.rate('after', 1)).toBe(true));
  expect(await one.bandits.rate('after', 1)).toBe(false);
  expect(one.count()).toBe(2);
  await one.bandits.close();
});
