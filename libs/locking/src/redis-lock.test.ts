import { connectRedis } from '@pointsman/redis';
import { eventually, startRedis, startRedisCluster } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { createRedisLock } from './redis-lock.ts';
import { lockConformance } from './lock.conformance.ts';

lockConformance('the lock in Redis', async () => {
  const stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis());
  return {
    fixture: ['redis', redis.url],
    contender: async () => {
      const connection = stack.use(connectRedis({ url: redis.url, commandTimeoutMs: 5_000 }));
      await connection.whenReady();
      return createRedisLock({ connection, pauseMs: 20 });
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
});

test('the key of the lock is its name, and it lives as long as asked for', async () => {
  await using redis = await startRedis();
  await using connection = connectRedis({ url: redis.url, commandTimeoutMs: 5_000 });
  await connection.whenReady();
  await using held = await createRedisLock({ connection }).acquire('model-sync:knn-router', { ttlMs: 15_000, waitMs: 0 });
  expect(held?.fence).toBeGreaterThan(0);
  expect(await redis.command('KEYS', '*')).toEqual(expect.arrayContaining(['model-sync:knn-router', '{model-sync:knn-router}:fence']));
  const ttl = Number(await redis.command('PTTL', 'model-sync:knn-router'));
  expect(ttl).toBeGreaterThan(5_000);
  expect(ttl).toBeLessThanOrEqual(15_000);
});

test('a lock whose key was removed is lost', async () => {
  await using redis = await startRedis();
  await using connection = connectRedis({ url: redis.url, commandTimeoutMs: 5_000 });
  await connection.whenReady();
  await using held = await createRedisLock({ connection }).acquire('a', { ttlMs: 900, waitMs: 0 });
  await redis.command('DEL', 'a');
  await eventually(() => expect(held?.signal.aborted).toBe(true));
  expect(held?.signal.reason).toMatchObject({ code: 'lock_lost', message: expect.stringContaining('another holder') as string });
});

test('a Redis that goes away takes the lock along, says so to whoever asks, and fences go on rising when it comes back empty', async () => {
  await using redis = await startRedis();
  await using connection = connectRedis({ url: redis.url, commandTimeoutMs: 1_000 });
  await connection.whenReady();
  const lock = createRedisLock({ connection });
  await using held = await lock.acquire('a', { ttlMs: 600, waitMs: 0 });
  expect(held?.signal.aborted).toBe(false);
  await redis.kill();
  await eventually(() => expect(held?.signal.aborted).toBe(true));
  await expect(lock.acquire('a', { ttlMs: 600, waitMs: 10_000 })).rejects.toMatchObject({ code: 'lock_unavailable', retryable: true });
  await redis.restart();
  await connection.whenReady();
  await using again = await lock.acquire('a', { ttlMs: 600, waitMs: 10_000 });
  expect(again?.fence).toBeGreaterThan(held?.fence ?? Infinity);
});

test('a Redis that freezes for longer than the lock lives takes it along', async () => {
  await using redis = await startRedis();
  await using connection = connectRedis({ url: redis.url, commandTimeoutMs: 200 });
  await connection.whenReady();
  await using held = await createRedisLock({ connection }).acquire('a', { ttlMs: 500, waitMs: 0 });
  redis.freeze();
  await eventually(() => expect(held?.signal.aborted).toBe(true));
  redis.thaw();
});

test('on a cluster lock and fence live in one slot', async () => {
  await using cluster = await startRedisCluster();
  await using connection = connectRedis({ url: cluster.url, commandTimeoutMs: 5_000 });
  await connection.whenReady();
  const lock = createRedisLock({ connection });
  for (const name of ['model-sync:knn-router', 'model-sync:b', 'model-sync:c']) {
    const held = await lock.acquire(name, { ttlMs: 5_000, waitMs: 0 });
    expect(held?.fence).toBeGreaterThan(0);
    await held?.release();
    await using again = await lock.acquire(name, { ttlMs: 5_000, waitMs: 0 });
    expect(again?.fence).toBeGreaterThan(held?.fence ?? Infinity);
  }
});
