import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { AppError } from '@pointsman/errors';
import { parseDegradedMode } from '@pointsman/gateway-config';
import { createMetrics, startTelemetry } from '@pointsman/telemetry';
import { eventually, startPostgres, startRedis, temporaryDirectory, type RunningPostgres, type RunningRedis } from '@pointsman/testing';
import { systemClock } from '@pointsman/timing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { keyRow, tokenOf } from '../access/key-access.fixture.ts';
import { digestKey, MasterKeyStore } from '../access/key-store.ts';
import type { Admission } from '../access/limits.ts';
import type { Principal } from '../access/principal.ts';
import { chatConfig, fakeSnapshot } from '../fake-gateway.fixture.ts';
import { GatewayMetrics } from '../record/gateway-metrics.ts';
import type { GatewaySettings } from '../settings.ts';
import type { GroupPlan } from '../snapshot/snapshot.ts';
import { openGatewayState, type GatewayState } from './open-gateway-state.ts';

let postgres: RunningPostgres;
let redis: RunningRedis;

beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
}, 120_000);

afterAll(async () => {
  await Promise.all([postgres[Symbol.asyncDispose](), redis[Symbol.asyncDispose]()]);
});

interface Replica extends AsyncDisposable {
  readonly state: GatewayState;
  readonly messages: () => string[];
  readonly exposition: () => Promise<string>;
}

interface ReplicaOptions {
  readonly database: GatewaySettings['database'];
  readonly redisUrl?: string | undefined;
  readonly degradedMode?: string;
}

async function startReplica({ database, redisUrl, degradedMode = '' }: ReplicaOptions): Promise<Replica> {
  const directory = await temporaryDirectory();
  const lines: string[] = [];
  const { logger } = startTelemetry({ serviceName: 'test', serviceVersion: '0', logLevel: 'info', processMetrics: false, writeLine: (line) => void lines.push(line) });
  const registry = createMetrics({ processMetrics: false });
  const state = await openGatewayState({
    settings: { database, redisUrl, home: directory.path }, degradedMode: parseDegradedMode(degradedMode), master: new MasterKeyStore('sk-master'), clock: systemClock, logger, metrics: new GatewayMetrics(registry),
  });
  return {
    state,
    messages: () => lines.map((line) => (JSON.parse(line) as { msg: string }).msg),
    exposition: async () => (await registry.exposition()).text,
    async [Symbol.asyncDispose]() {
      await state.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

async function postgresDatabase(): Promise<GatewaySettings['database']> {
  return { kind: 'postgres', url: await postgres.createDatabase() };
}

async function find({ state }: Replica, key: string): Promise<Principal | undefined> {
  return state.keys.find(digestKey(key));
}

async function known(replica: Replica, key: string): Promise<Principal> {
  const principal = await find(replica, key);
  if (principal === undefined) throw new Error('the key was expected to be known');
  return principal;
}

function insert({ state }: Replica, key: string, change: Parameters<typeof keyRow>[1] = {}): Promise<unknown> {
  return state.database.run((open) => open.access.insertKey(keyRow(key, change)));
}

const plan = fakeSnapshot(chatConfig(['a'])).plan('chat') as GroupPlan;

async function admit({ state }: Replica, principal: Principal): Promise<Admission | AppError> {
  return state.limits.admit(principal, { plan, outline: {}, endUser: undefined, promptTokens: () => 10 });
}

test.each([['with Redis', true], ['by polling alone', false]])('a key that is deleted by one replica is refused by the other: %s', async (_how, hasRedis) => {
  const database = await postgresDatabase();
  const redisUrl = hasRedis ? redis.url : undefined;
  await using a = await startReplica({ database, redisUrl });
  await using b = await startReplica({ database, redisUrl });
  await insert(a, 'sk-revoked', { key_alias: 'revoked' });
  expect(await find(a, 'sk-revoked')).toMatchObject({ keyAlias: 'revoked' });
  expect(await find(b, 'sk-revoked')).toMatchObject({ keyAlias: 'revoked' });
  await a.state.database.run((open) => open.access.deleteKeys([tokenOf('sk-revoked')]));
  a.state.accessChanged([tokenOf('sk-revoked')]);
  expect(await find(a, 'sk-revoked')).toBeUndefined();
  await eventually(async () => expect(await find(b, 'sk-revoked')).toBeUndefined(), { timeoutMs: 2_000 });
});

test('a limit is exact over two replicas', async () => {
  const database = await postgresDatabase();
  await using a = await startReplica({ database, redisUrl: redis.url });
  await using b = await startReplica({ database, redisUrl: redis.url });
  await insert(a, 'sk-limited', { rpm_limit: 20 });
  const answers = await Promise.all(Array.from({ length: 60 }, async (_, index) => {
    const replica = index % 2 === 0 ? a : b;
    return admit(replica, await known(replica, 'sk-limited'));
  }));
  expect(answers.filter((answer) => !(answer instanceof AppError))).toHaveLength(20);
});

test('Redis frozen and thawed: nobody hangs, limits are off or shared out meanwhile and count again after it, and each change is one line', async () => {
  const database = await postgresDatabase();
  await using own = await startRedis();
  await using off = await startReplica({ database, redisUrl: own.url });
  await using local = await startReplica({ database, redisUrl: own.url, degradedMode: 'on_redis_down: { rate_limits: local }\n' });
  await insert(off, 'sk-limited', { rpm_limit: 10 });
  const [ofOff, ofLocal] = [await known(off, 'sk-limited'), await known(local, 'sk-limited')];
  // Each has heard the other.
  await eventually(() => expect([off.state.redis.replicas(), local.state.redis.replicas()]).toEqual([2, 2]), { timeoutMs: 15_000 });
  own.freeze();
  const through = async (replica: Replica, principal: Principal): Promise<number> => {
    const answers = await Promise.all(Array.from({ length: 30 }, () => admit(replica, principal)));
    return answers.filter((answer) => !(answer instanceof AppError)).length;
  };
  expect(await through(off, ofOff)).toBe(30);
  expect(await through(local, ofLocal)).toBe(5);
  expect([off.state.degraded(), local.state.degraded()]).toEqual([['redis'], ['redis']]);
  expect(await off.exposition()).toContain('gateway_degraded_mode{service="redis"} 1');
  expect(await off.exposition()).toContain('circuit_breaker_state{target="redis"} 2');
  own.thaw();
  await eventually(() => expect([off.state.degraded(), local.state.degraded()]).toEqual([[], []]), { timeoutMs: 20_000 });
  await eventually(async () => expect(await through(off, ofOff)).toBeLessThanOrEqual(10), { timeoutMs: 5_000 });
  expect(await off.exposition()).toContain('gateway_degraded_mode{service="redis"} 0');
  expect(off.messages().filter((message) => message.startsWith('dependency'))).toEqual(['dependency away', 'dependency back']);
}, 60_000);

test('Redis that refuses the script of the limits and nothing else is said to be away, is used for all else, and limits again once it may', async () => {
  const database = await postgresDatabase();
  await using own = await startRedis();
  await own.command('ACL', 'SETUSER', 'gateway', 'on', '>secret', '~*', '&*', '+@all', '-@scripting');
  await using replica = await startReplica({ database, redisUrl: own.url.replace('redis://', 'redis://gateway:secret@') });
  await insert(replica, 'sk-limited', { rpm_limit: 5 });
  const principal = await known(replica, 'sk-limited');
  const cache = replica.state.redis.keyValue('redis');
  for (let request = 0; request < 6; request += 1) {
    await admit(replica, principal);
    await cache.set('reply', Buffer.from('kept'), 60_000);
  }
  expect(replica.state.degraded()).toEqual(['redis']);
  expect(await replica.exposition()).toContain('gateway_degraded_mode{service="redis"} 1');
  expect(await own.command('KEYS', '*cache:reply*')).toHaveLength(1);
  await own.command('ACL', 'SETUSER', 'gateway', '+@scripting');
  await eventually(() => expect(replica.state.degraded()).toEqual([]), { timeoutMs: 20_000 });
  const answers = await Promise.all(Array.from({ length: 10 }, () => admit(replica, principal)));
  expect(answers.filter((answer) => !(answer instanceof AppError))).toHaveLength(5);
  expect(replica.messages().filter((message) => message.startsWith('dependency'))).toEqual(['dependency away', 'dependency back']);
}, 60_000);

test('PostgreSQL frozen and thawed: known keys and fallback keys go on, unknown ones are refused, and nobody hangs', async () => {
  await using own = await startPostgres();
  await using replica = await startReplica({ database: { kind: 'postgres', url: own.url }, degradedMode: `fallback_keys: ["${tokenOf('sk-fallback')}"]\n` });
  await insert(replica, 'sk-known');
  const principal = await known(replica, 'sk-known');
  own.freeze();
  for (let request = 0; request < 10; request += 1) {
    expect(await find(replica, 'sk-known')).toBe(principal);
    const isEstablished = replica.state.degraded().includes('postgres');
    const answer = await find(replica, `sk-unknown-${String(request)}`).catch((error: unknown) => error);
    // What SDKs try again, until it is clear that the database is away.
    expect(answer).toMatchObject(isEstablished ? { type: 'token_not_checkable' } : { code: expect.stringMatching(/^(key_not_checkable|401)$/) as string });
  }
  await expect(find(replica, 'sk-unknown')).rejects.toMatchObject({ status: 401, type: 'token_not_checkable' });
  expect(await find(replica, 'sk-fallback')).toMatchObject({ keyAlias: expect.stringMatching(/^fallback:/) as string });
  expect(await find(replica, 'sk-master')).toMatchObject({ role: 'admin' });
  await expect(replica.state.database.run((open) => open.access.findKey('x'))).rejects.toMatchObject({ status: 503, code: 'database_unavailable' });
  expect(replica.state.degraded()).toEqual(['postgres']);
  own.thaw();
  await eventually(() => expect(replica.state.degraded()).toEqual([]), { timeoutMs: 20_000 });
  expect(await find(replica, 'sk-unknown-0')).toBeUndefined();
  expect(replica.messages().filter((message) => message.startsWith('dependency'))).toEqual(['dependency away', 'dependency back']);
}, 60_000);

test.each(['refuse connections', 'take them and say nothing'])('a gateway starts and serves the master key while its database and its Redis %s', async (how) => {
  const mute = createServer().listen(0, '127.0.0.1');
  await once(mute, 'listening');
  const port = how === 'refuse connections' ? 1 : (mute.address() as AddressInfo).port;
  {
    await using replica = await startReplica({ database: { kind: 'postgres', url: `postgres://postgres@127.0.0.1:${String(port)}/postgres` }, redisUrl: `redis://127.0.0.1:${String(port)}` });
    expect(await find(replica, 'sk-master')).toMatchObject({ role: 'admin' });
    await eventually(() => expect(replica.state.degraded()).toEqual(['redis', 'postgres']), { timeoutMs: 20_000 });
    await expect(find(replica, 'sk-unknown')).rejects.toMatchObject({ status: 401 });
    expect(replica.messages().filter((message) => message === 'dependency away')).toHaveLength(2);
  }
  mute.close();
});

test('without DATABASE_URL there is a database on this machine, and without Redis limits hold all the same', async () => {
  await using replica = await startReplica({ database: { kind: 'embedded' } });
  await eventually(() => insert(replica, 'sk-here', { max_parallel_requests: 1 }), { timeoutMs: 60_000 });
  const principal = await known(replica, 'sk-here');
  const running = await admit(replica, principal);
  expect(running).not.toBeInstanceOf(AppError);
  expect(await admit(replica, principal)).toMatchObject({ status: 429 });
  expect(replica.state.degraded()).toEqual([]);
}, 90_000);

test('with no database there are no keys but the master key', async () => {
  await using replica = await startReplica({ database: { kind: 'none' } });
  expect(await find(replica, 'sk-any')).toBeUndefined();
  expect(replica.state.keys.hasKeys).toBe(false);
  await expect(replica.state.database.run(() => Promise.resolve())).rejects.toMatchObject({ type: 'no_db_connection' });
});
