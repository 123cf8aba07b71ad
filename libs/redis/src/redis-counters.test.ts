import { eventually, startRedis, type RunningRedis } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectRedis } from './connect-redis.ts';
import { describeLimitCounters } from './limit-counters.conformance.ts';
import type { LimitCounters, Reservation, ScopeChecks } from './limit-counters.ts';
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
  const replicas = connections.map((connection) => createRedisCounters(connection));
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

const parallelAndTokens = (scope: string, lease: string, leaseMs = 3_600_000): readonly ScopeChecks[] => [{
  scope, checks: [{ kind: 'window', name: 'tokens', limit: 1_000, amount: 100, windowMs: 3_600_000 }, { kind: 'parallel', name: 'parallel', limit: 3, lease, leaseMs }],
}];

async function reserved(counters: LimitCounters, scopes: readonly ScopeChecks[]): Promise<Reservation> {
  const answer = await counters.reserve(scopes);
  if (!answer.allowed) throw new Error(`Was refused by ${answer.refused.check.name}.`);
  return answer;
}

/** Three requests run, `break` happens, they end, `mend` happens: how many leases Redis holds then, and how many tokens it has counted. */
async function settledThrough(own: RunningRedis, happens: { readonly breaks: () => unknown; readonly mends: () => unknown }): Promise<{ readonly leases: number; readonly tokens: number }> {
  await using connection = connectRedis({ url: own.url, commandTimeoutMs: 200 });
  await connection.whenReady();
  const counters = createRedisCounters(connection);
  const running = await Promise.all(['a', 'b', 'c'].map(async (lease) => {
    const scopes = parallelAndTokens('key:1', lease);
    return { scopes, reservation: await reserved(counters, scopes) };
  }));
  await happens.breaks();
  await Promise.all(running.map(({ scopes, reservation }) => counters.settle(scopes, reservation, [{ scope: 'key:1', name: 'tokens', amount: 10 }])));
  await connection.call('PING').catch(() => undefined);
  await happens.mends();
  await connection.whenReady(AbortSignal.timeout(20_000));
  await eventually(() => counters.probe());
  await connection.call('PING');
  // A second answer of the dependency is no reason to send anything again.
  await counters.probe();
  await connection.call('PING');
  counters.close();
  return { leases: Number(await own.command('ZCARD', 'pm:{key:1}:p:parallel')), tokens: Number(await own.command('HGET', 'pm:{key:1}:w:tokens', 'c')) };
}

test('places and tokens of requests that end while Redis is a read-only replica come back when it is a master again, once', async () => {
  await using own = await startRedis();
  expect(await settledThrough(own, { breaks: () => own.command('REPLICAOF', '127.0.0.1', '1'), mends: () => own.command('REPLICAOF', 'NO', 'ONE') })).toEqual({ leases: 0, tokens: 30 });
});

test('places of requests that end while Redis is frozen come back with it', async () => {
  await using own = await startRedis();
  expect((await settledThrough(own, { breaks: () => own.freeze(), mends: () => own.thaw() })).leases).toBe(0);
});

test('places whose end, or whose beginning, was sent and never answered come back too', async () => {
  await using own = await startRedis();
  const pause = (): Promise<unknown> => own.command('CLIENT', 'PAUSE', '600000', 'WRITE');
  const unpause = (): Promise<unknown> => own.command('CLIENT', 'UNPAUSE');
  // What was used of a window is not sent twice: it may have been counted.
  expect(await settledThrough(own, { breaks: pause, mends: unpause })).toEqual({ leases: 0, tokens: 300 });

  await using connection = connectRedis({ url: own.url, commandTimeoutMs: 200 });
  await connection.whenReady();
  const counters = createRedisCounters(connection);
  await pause();
  await expect(counters.reserve(parallelAndTokens('key:1', 'unanswered'))).rejects.toThrow(RedisUnavailableError);
  await unpause();
  await own.command('ZADD', 'pm:{key:1}:p:parallel', '99999999999999', 'unanswered');
  await connection.whenReady(AbortSignal.timeout(20_000));
  await eventually(() => counters.probe());
  await connection.call('PING');
  expect(await own.command('ZCARD', 'pm:{key:1}:p:parallel')).toBe(0);
});

test('a Redis without memory takes places back', async () => {
  await using own = await startRedis({ settings: ['--maxmemory-policy', 'noeviction'] });
  const limit = (bytes: string) => () => own.command('CONFIG', 'SET', 'maxmemory', bytes);
  await using connection = connectRedis({ url: own.url, commandTimeoutMs: 5_000 });
  await connection.whenReady();
  const counters = createRedisCounters(connection);
  const scopes = parallelAndTokens('key:1', 'a');
  const reservation = await reserved(counters, scopes);
  await limit('1')();
  // Another request asks in the same turn, first, and its counter cannot be made.
  const asked = counters.reserve([{ scope: 'key:2', checks: [{ kind: 'window', name: 'requests', limit: 5, amount: 1, windowMs: 60_000 }] }]);
  await counters.settle(scopes, reservation, [{ scope: 'key:1', name: 'tokens', amount: 10 }]);
  await asked;
  expect(await own.command('ZCARD', 'pm:{key:1}:p:parallel')).toBe(0);
  expect(await own.command('HGET', 'pm:{key:1}:w:tokens', 'c')).toBe('10');
});

test('a lease shorter than its request is renewed until it is settled; a replica that died gives its places back when they end', async () => {
  await using alive = connectRedis({ url: redis.url, commandTimeoutMs: 5_000 });
  await using dying = connectRedis({ url: redis.url, commandTimeoutMs: 5_000 });
  await Promise.all([alive.whenReady(), dying.whenReady()]);
  const [survivor, dead] = [createRedisCounters(alive, { renewEveryMs: 50 }), createRedisCounters(dying, { renewEveryMs: 50 })];
  const [ofSurvivor, ofDead] = [parallelAndTokens('key:renewed', 'alive', 600), parallelAndTokens('key:renewed', 'dead', 600)];
  const reservation = await reserved(survivor, ofSurvivor);
  await reserved(dead, ofDead);
  const leases = (): Promise<unknown> => redis.command('ZRANGE', 'pm:{key:renewed}:p:parallel', '0', '-1');
  // Also where the server has forgotten the script, and the lease itself.
  await redis.command('SCRIPT', 'FLUSH');
  await redis.command('ZREM', 'pm:{key:renewed}:p:parallel', 'alive');
  await eventually(async () => expect(await leases()).toEqual(['alive', 'dead']));
  const until = (await redisTimeMs()) + 1_500;
  await eventually(async () => (await redisTimeMs()) > until);
  expect(await leases()).toEqual(['alive', 'dead']);
  dead.close();
  await dying.close();
  await eventually(async () => expect(await leases()).toEqual(['alive']));
  await survivor.settle(ofSurvivor, reservation, []);
  await alive.call('PING');
  const end = (await redisTimeMs()) + 200;
  await eventually(async () => (await redisTimeMs()) > end);
  expect(await leases()).toEqual([]);
});

test('a key of another type or without numbers in it stops nobody: its counter begins anew', async () => {
  await using connection = connectRedis({ url: redis.url, commandTimeoutMs: 5_000 });
  await connection.whenReady();
  const counters = createRedisCounters(connection);
  const all = (scope: string): readonly ScopeChecks[] => checks.map((own) => ({ ...own, scope }));
  const standing = { allowed: true, standings: [{ remaining: 4 }, { remaining: 4 }, { remaining: 4 }] };
  for (const kind of ['w:requests', 'p:parallel', 'b:spend']) await redis.command('SET', `pm:{key:wrong}:${kind}`, 'mine');
  await redis.command('HSET', 'pm:{key:odd}:w:requests', 'c', 'x', 'e', '99999999999999');
  await redis.command('HSET', 'pm:{key:odd}:b:spend', 's', '5');
  const answers = await Promise.all(['key:wrong', 'key:odd', 'key:right'].map((scope) => counters.reserve(all(scope))));
  expect(answers).toMatchObject([standing, standing, standing]);
  const [wrong] = answers;
  if (wrong?.allowed !== true) throw new Error('Was refused.');
  for (const kind of ['w:requests', 'p:parallel', 'b:spend']) await redis.command('SET', `pm:{key:wrong}:${kind}`, 'mine');
  await counters.settle(all('key:wrong'), wrong, [{ scope: 'key:wrong', name: 'requests', amount: 3 }]);
  expect(await counters.reserve(all('key:wrong'))).toMatchObject({ allowed: true });
});

test('a server that answers PING and refuses the script fails the probe, and says why', async () => {
  await redis.command('ACL', 'SETUSER', 'unscripted', 'on', '>secret', '~*', '&*', '+@all', '-@scripting');
  await using connection = connectRedis({ url: redis.url.replace('redis://', 'redis://unscripted:secret@'), commandTimeoutMs: 5_000 });
  await connection.whenReady();
  const counters = createRedisCounters(connection);
  expect(await connection.call('PING')).toBe('PONG');
  await expect(counters.probe()).rejects.toThrow(/NOPERM.*evalsha/);
  await redis.command('ACL', 'SETUSER', 'unscripted', '+@scripting');
  await counters.probe();
});

test('a budget whose settlement failed gives its reservation back, and what was spent counts once, by the seed', async () => {
  await using own = await startRedis();
  await using connection = connectRedis({ url: own.url, commandTimeoutMs: 5_000 });
  await connection.whenReady();
  const counters = createRedisCounters(connection);
  const scopesOf = (amount: number, seed: number): readonly ScopeChecks[] => [{ scope: 'key:1', checks: [{ kind: 'budget', name: 'spend', limit: 10, amount, seed, keepMs: 3_600_000 }] }];
  const reservation = await reserved(counters, scopesOf(4, 0));
  await own.command('REPLICAOF', '127.0.0.1', '1');
  await counters.settle(scopesOf(4, 0), reservation, [{ scope: 'key:1', name: 'spend', amount: 0.5 }]);
  await connection.call('PING').catch(() => undefined);
  await own.command('REPLICAOF', 'NO', 'ONE');
  await connection.whenReady(AbortSignal.timeout(20_000));
  expect(await counters.reserve(scopesOf(0, 0.5))).toMatchObject({ allowed: true, standings: [{ remaining: 5.5 }] });
  await counters.probe();
  expect(await counters.reserve(scopesOf(0, 0.5))).toMatchObject({ allowed: true, standings: [{ remaining: 9.5 }] });
});

test('no more than 10,000 settlements wait for Redis, and those that came last', async () => {
  await using own = await startRedis();
  await using connection = connectRedis({ url: own.url, commandTimeoutMs: 10_000 });
  await connection.whenReady();
  const counters = createRedisCounters(connection);
  const all = Array.from({ length: 10_050 }, (_, index) => [{ scope: 'key:1', checks: [{ kind: 'parallel', name: 'parallel', limit: Infinity, lease: `l${String(index)}`, leaseMs: 3_600_000 }] }] as const);
  const reservations = await Promise.all(all.map((scopes) => reserved(counters, scopes)));
  await own.command('REPLICAOF', '127.0.0.1', '1');
  await Promise.all(all.map((scopes, index) => counters.settle(scopes, reservations[index] as Reservation, [])));
  await connection.call('PING').catch(() => undefined);
  await own.command('REPLICAOF', 'NO', 'ONE');
  await connection.whenReady(AbortSignal.timeout(20_000));
  for (let probe = 0; probe < 6; probe += 1) await counters.probe();
  await connection.call('PING');
  expect(await own.command('ZCARD', 'pm:{key:1}:p:parallel')).toBe(50);
  expect(await own.command('ZSCORE', 'pm:{key:1}:p:parallel', 'l49')).not.toBeNull();
});
