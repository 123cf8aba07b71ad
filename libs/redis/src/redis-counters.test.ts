import { eventually, startRedis, type RunningRedis } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectRedis } from './connect-redis.ts';
import { describeLimitCounters } from './limit-counters.conformance.ts';
import type { LimitCounters, ScopeChecks } from './limit-counters.ts';
import { createRedisCounters } from './redis-counters.ts';
import { RedisUnavailableError } from './redis-unavailable-error.ts';

let redis: RunningRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis[Symbol.asyncDispose]());

/** Three replicas on three connections that take turns: what one counts the others must see. */
async function threeReplicas(): Promise<{ readonly counters: LimitCounters } & AsyncDisposable> {
  const connections = [1, 2, 3].map(() => connectRedis({ url: redis.url, commandTimeoutMs: 5_000 }));
  await Promise.all(connections.map((connection) => connection.whenReady()));
  const replicas = connections.map(createRedisCounters);
  let turn = 0;
  const next = (): LimitCounters => replicas[turn++ % 3] as LimitCounters;
  return {
    counters: { reserve: (scopes) => next().reserve(scopes), settle: (...words) => next().settle(...words) },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(connections.map((connection) => connection.close()));
    },
  };
}

async function redisTimeMs(): Promise<number> {
  const reply = await redis.command('TIME');
  return Array.isArray(reply) ? Number(reply[0]) * 1_000 + Math.floor(Number(reply[1]) / 1_000) : Number.NaN;
}

describeLimitCounters('counters on Redis, shared by three replicas', async () => {
  const replicas = await threeReplicas();
  return {
    counters: {
      reserve: (scopes) => replicas.counters.reserve(scopes),
      // Another replica asks next, over another connection: wait until Redis has it.
      settle: async (...words) => {
        await replicas.counters.settle(...words);
        await redis.command('PING');
      },
    },
    elapse: async (ms) => {
      const until = (await redisTimeMs()) + ms;
      await eventually(async () => (await redisTimeMs()) > until);
    },
    forget: async () => {
      await redis.command('FLUSHALL');
    },
    [Symbol.asyncDispose]: () => replicas[Symbol.asyncDispose](),
  };
});

const checks: readonly ScopeChecks[] = [{
  scope: 'key:ttl', checks: [
    { kind: 'window', name: 'requests', limit: 5, amount: 1, windowMs: 60_000 },
    { kind: 'parallel', name: 'parallel', limit: 5, lease: 'a', leaseMs: 30_000 },
    { kind: 'budget', name: 'spend', limit: 5, amount: 1, seed: 0, keepMs: 90_000 },
  ],
}];

test('every key ends by itself, lies in the slot of its scope, and is made again after a flush of the scripts', async () => {
  await using connection = connectRedis({ url: redis.url, commandTimeoutMs: 5_000 });
  await connection.whenReady();
  const counters = createRedisCounters(connection);
  const reservation = await counters.reserve(checks);
  await redis.command('SCRIPT', 'FLUSH');
  if (!reservation.allowed) throw new Error('Was refused.');
  await counters.settle(checks, reservation, [{ scope: 'key:ttl', name: 'requests', amount: 3 }]);
  await eventually(async () => expect(await redis.command('HGET', 'pm:{key:ttl}:w:requests', 'c')).toBe('3'));
  await counters.reserve(checks);
  for (const [key, ms] of [['pm:{key:ttl}:w:requests', 60_000], ['pm:{key:ttl}:p:parallel', 30_000], ['pm:{key:ttl}:b:spend', 90_000]] as const) {
    const left = Number(await redis.command('PTTL', key));
    expect(left, key).toBeGreaterThan(0);
    expect(left, key).toBeLessThanOrEqual(ms);
  }
});

test('more than one script holds is counted all the same, in the same turn', async () => {
  await using connection = connectRedis({ url: redis.url, commandTimeoutMs: 5_000 });
  await connection.whenReady();
  const counters = createRedisCounters(connection);
  const scopes: readonly ScopeChecks[] = [{ scope: 'key:many', checks: [{ kind: 'window', name: 'requests', limit: 250, amount: 1, windowMs: 600_000 }] }];
  const answers = await Promise.all(Array.from({ length: 300 }, () => counters.reserve(scopes)));
  expect(answers.filter(({ allowed }) => allowed)).toHaveLength(250);
});

test('a lost Redis is an error for the caller and never an unhandled one', async () => {
  await using own = await startRedis();
  await using connection = connectRedis({ url: own.url, commandTimeoutMs: 5_000 });
  await connection.whenReady();
  const counters = createRedisCounters(connection);
  const reservation = await counters.reserve(checks);
  if (!reservation.allowed) throw new Error('Was refused.');
  await own.kill();
  await eventually(() => expect(connection.state).toBe('away'));
  await expect(counters.reserve(checks)).rejects.toThrow(RedisUnavailableError);
  await counters.settle(checks, reservation, []);
  await own.restart();
  await connection.whenReady(AbortSignal.timeout(20_000));
  expect(await counters.reserve(checks)).toMatchObject({ allowed: true, standings: [{ remaining: 4 }, { remaining: 4 }, { remaining: 4 }] });
});
