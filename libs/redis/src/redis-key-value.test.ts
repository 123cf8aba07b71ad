import { eventually, startRedis, type RunningRedis } from '@pointsman/testing';
import { afterAll, beforeAll } from 'vitest';
import { connectRedis } from './connect-redis.ts';
import { describeKeyValue } from './key-value.conformance.ts';
import { createRedisKeyValue } from './redis-key-value.ts';

let redis: RunningRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis[Symbol.asyncDispose]());

describeKeyValue('values on Redis', async () => {
  const connection = connectRedis({ url: redis.url, commandTimeoutMs: 5_000 });
  await connection.whenReady();
  await redis.command('FLUSHALL');
  return {
    keyValue: createRedisKeyValue(connection, { prefix: 'cache:', maxValueBytes: 1_000_000 }),
    largestBytes: 1_000_000,
    elapse: async (ms) => {
      await redis.command('SET', 'elapsed', '1', 'PX', String(ms));
      await eventually(async () => (await redis.command('EXISTS', 'elapsed')) === 0);
    },
    [Symbol.asyncDispose]: () => connection.close(),
  };
});
