import { eventually, startRedisCluster, startRedisSentinel, type RunningCluster } from '@pointsman/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { untilHeard } from './channel.conformance.ts';
import { connectRedis, type RedisConnection } from './connect-redis.ts';
import { describeLimitCounters } from './limit-counters.conformance.ts';
import type { LimitCounters, ScopeChecks } from './limit-counters.ts';
import { createRedisChannel } from './redis-channel.ts';
import { createRedisCounters } from './redis-counters.ts';
import { createRedisKeyValue } from './redis-key-value.ts';
import { RedisUnavailableError } from './redis-unavailable-error.ts';

/** On a machine that is busy an election may be lost and held again. */
const FAILOVER = { timeoutMs: 80_000, intervalMs: 50 };
const TEST_TIMEOUT_MS = 120_000;
const scopesOf = (scope: string): readonly ScopeChecks[] => [
  { scope, checks: [{ kind: 'window', name: 'requests', limit: 20, amount: 1, windowMs: 3_600_000 }] },
  { scope: 'team:all', checks: [{ kind: 'window', name: 'requests', limit: 1_000, amount: 1, windowMs: 3_600_000 }] },
];

async function passing(counters: LimitCounters, scope: string, count: number): Promise<number> {
  const answers = await Promise.all(Array.from({ length: count }, () => counters.reserve(scopesOf(scope))));
  return answers.filter(({ allowed }) => allowed).length;
}

async function survives(connection: RedisConnection, { kill, killed }: { readonly kill: () => Promise<unknown>; readonly killed: () => Promise<boolean> }): Promise<void> {
  await connection.whenReady(AbortSignal.timeout(20_000));
  await using channel = createRedisChannel(connection, { pingMs: 200 });
  const [counters, keyValue] = [createRedisCounters(connection), createRedisKeyValue(connection, { prefix: 'test:', maxValueBytes: 1_000 })];
  const heard: string[] = [];
  channel.subscribe('keys', (message) => heard.push(message));
  await untilHeard(channel, 'keys', heard);
  expect(await passing(counters, 'key:1', 5)).toBe(5);
  await keyValue.set('kept', Buffer.from('value'), 3_600_000);
  // Replication is asynchronous: whoever wants to see the count on the new master lets it arrive first.
  await eventually(killed);
  await kill();
  const unexpected: unknown[] = [];
  const left = await eventually(async () => {
    try {
      return await untilAnswered(counters);
    } catch (error) {
      if (!(error instanceof RedisUnavailableError)) unexpected.push(error);
      throw error;
    }
  }, FAILOVER);
  expect(unexpected).toEqual([]);
  // 5 before, at least 1 after: an attempt whose answer the failover swallowed may have counted too.
  expect(left).toBeLessThanOrEqual(14);
  expect(left).toBeGreaterThanOrEqual(0);
  expect(await passing(counters, 'key:1', 40)).toBe(left);
  expect(await passing(counters, 'key:2', 40)).toBe(20);
  await eventually(async () => expect(await keyValue.get('kept')).toEqual(Buffer.from('value')), FAILOVER);
  await untilHeard(channel, 'keys', heard);
}

async function untilAnswered(counters: LimitCounters): Promise<number> {
  const answer = await counters.reserve(scopesOf('key:1'));
  return answer.allowed ? answer.standings[0]?.remaining ?? -1 : 0;
}

test('Sentinel: when the master is killed the next one is found, and counting, values and messages go on', async () => {
  await using sentinel = await startRedisSentinel();
  await using connection = connectRedis({ url: sentinel.url });
  await survives(connection, {
    kill: () => sentinel.killMaster(),
    killed: async () => (await Promise.all(sentinel.servers.map((server) => server.command('HGET', 'pm:{key:1}:w:requests', 'c')))).every((count) => count === '5'),
  });
}, TEST_TIMEOUT_MS);

describe('Cluster', () => {
  let cluster: RunningCluster;
  beforeAll(async () => {
    cluster = await startRedisCluster();
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  describeLimitCounters('counters on a cluster, where scopes lie on different servers', async () => {
    const connection = connectRedis({ url: cluster.url, commandTimeoutMs: 5_000 });
    await connection.whenReady(AbortSignal.timeout(20_000));
    const counters = createRedisCounters(connection);
    return {
      counters,
      elapse: async (ms) => {
        await connection.call('set', 'elapsed', '1', 'PX', String(ms));
        await eventually(async () => (await connection.call('exists', 'elapsed')) === 0);
      },
      forget: async () => {
        await Promise.all(cluster.nodes.slice(0, 3).map((node) => node.command('FLUSHALL')));
      },
      [Symbol.asyncDispose]: () => connection.close(),
    };
  });

  test('when the master of a key is killed its replica is found, and counting, values and messages go on', async () => {
    await using connection = connectRedis({ url: cluster.url });
    await survives(connection, {
      kill: () => cluster.killMaster('pm:{key:1}:w:requests'),
      // A replica does not answer for a key, but it tells how far it is.
      killed: async () => {
        const info = String(await (await cluster.masterOf('pm:{key:1}:w:requests')).command('INFO', 'replication'));
        const [, offset] = /master_repl_offset:(\d+)/.exec(info) ?? [];
        return offset !== undefined && info.includes(`offset=${offset},`);
      },
    });
  }, TEST_TIMEOUT_MS);
});
