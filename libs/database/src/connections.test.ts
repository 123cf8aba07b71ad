import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually, startPostgres, type RunningPostgres } from '@pointsman/testing';
import { connectDatabase } from './connect-database.ts';
import { openConnections } from './connections.ts';
import type { Database } from './database.ts';
import { keyRow, spendLine } from './sample-rows.ts';

const never = new AbortController().signal;
let postgres: RunningPostgres;
let database: Database;
beforeEach(async () => {
  postgres = await startPostgres();
  database = connectDatabase({ url: postgres.url, applicationName: 'under-test', poolSize: 2, queryTimeoutMs: 1_000, connectTimeoutMs: 500 });
  await database.migrate(never);
});
afterEach(async () => {
  await database.close();
  await postgres[Symbol.asyncDispose]();
});

test('a frozen server holds nobody longer than the deadline, its connections are not used again, and thawed it serves at once', async () => {
  const key = await database.access.insertKey(keyRow());
  // All connections of the pool are open and idle when it freezes.
  await Promise.all([database.ping(never), database.ping(never)]);
  const before = await backends();
  postgres.freeze();
  const signal = AbortSignal.timeout(100);
  await expect(database.access.findAccess(key.token, signal)).rejects.toBe(await reasonOf(signal));
  await expect(database.access.findKey(key.token)).rejects.toMatchObject({ kind: 'unavailable', code: 'database_timeout' });
  // Neither does a new connection, which the kernel accepts for the frozen server.
  await expect(database.access.findKey(key.token)).rejects.toMatchObject({ kind: 'unavailable' });
  await expect(database.spend.record([JSON.stringify(spendLine())], AbortSignal.timeout(50))).rejects.toThrow(/timeout/);
  postgres.thaw();
  expect((await database.access.findAccess(key.token))?.key).toEqual(key);
  expect(before.filter((pid) => pids.has(pid))).toEqual(before);
  await eventually(async () => expect((await backends()).filter((pid) => before.includes(pid))).toEqual([]));
});

test('while the server is gone every call fails clearly and none ends the process; when it is back, calls succeed', async () => {
  const key = await database.access.insertKey(keyRow());
  await postgres.kill();
  for (let attempt = 0; attempt < 3; attempt += 1) await expect(database.access.findKey(key.token)).rejects.toMatchObject({ kind: 'unavailable', code: 'database_unavailable' });
  await expect(database.spend.record([JSON.stringify(spendLine())])).rejects.toMatchObject({ kind: 'unavailable' });
  await postgres.restart();
  expect(await database.access.findKey(key.token)).toEqual(key);
});

test('a signal that is aborted already asks nothing', async () => {
  const reason = new Error('gone');
  await expect(database.ping(AbortSignal.abort(reason))).rejects.toBe(reason);
});

test('with all connections busy, waiting for one has a deadline too, and a caller that left takes none', async () => {
  const connections = openConnections({ url: postgres.url, applicationName: 'busy', poolSize: 1, queryTimeoutMs: 20_000, connectTimeoutMs: 300 });
  const slow = connections.run(sql`SELECT pg_sleep(1)`);
  await expect(connections.run(sql`SELECT 1`)).rejects.toMatchObject({ code: 'database_unavailable' });
  await expect(connections.run(sql`SELECT 1`, { signal: AbortSignal.timeout(20) })).rejects.toThrow(/timeout/);
  await slow;
  expect(await connections.run(sql`SELECT 1 AS one`)).toEqual([{ one: 1 }]);
  await connections.close();
});

test('reports that take long leave every connection to the look-ups of keys', async () => {
  const key = await database.access.insertKey(keyRow());
  // Nobody can read the ledger for a while, as if there were much of it.
  const lock = openConnections({ url: postgres.url, applicationName: 'lock', poolSize: 1, queryTimeoutMs: 20_000 });
  let unlock = (): void => undefined;
  const held = lock.transaction(async (session) => {
    await session.run(sql`LOCK TABLE pointsman.spend_logs IN ACCESS EXCLUSIVE MODE`);
    await new Promise<void>((resolve) => { unlock = resolve; });
  });
  await eventually(async () => expect(await postgres.sql(`SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'pointsman.spend_logs'::regclass`)).toHaveLength(1));
  const reports = Array.from({ length: 10 }, () => database.spend.total({ api_key: key.token }).catch((error: unknown) => error));
  await eventually(async () => expect(await postgres.sql(`SELECT 1 FROM pg_stat_activity WHERE application_name = 'under-test' AND wait_event_type = 'Lock'`)).toHaveLength(2));
  for (let look = 0; look < 5; look += 1) expect((await database.access.findAccess(key.token, AbortSignal.timeout(400)))?.key).toEqual(key);
  unlock();
  await held;
  await Promise.all(reports);
  expect(await database.spend.total({ api_key: key.token })).toEqual({ spend: 0, requests: 0 });
  await lock.close();
});

test('a transaction that misses its deadline is given up by the server as well, and its locks go', async () => {
  const connections = openConnections({ url: postgres.url, applicationName: 'late', poolSize: 2, queryTimeoutMs: 300 });
  await connections.run(sql`CREATE TABLE held (id int)`);
  await connections.run(sql`INSERT INTO held VALUES (1)`);
  await expect(connections.transaction(async (session) => {
    await session.run(sql`SELECT * FROM held FOR UPDATE`);
    await session.run(sql`SELECT pg_sleep(30)`);
  })).rejects.toMatchObject({ code: 'database_timeout' });
  await eventually(async () => expect(await connections.run(sql`SELECT id FROM held FOR UPDATE NOWAIT`)).toEqual([{ id: 1 }]));
  await connections.close();
});

test('an error inside a transaction undoes it and leaves the connection usable', async () => {
  const connections = openConnections({ url: postgres.url, applicationName: 'undo', poolSize: 1 });
  await connections.run(sql`CREATE TABLE undone (id int PRIMARY KEY)`);
  const pid = sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`;
  const before = await connections.run(pid);
  await expect(connections.transaction(async (session) => {
    await session.run(sql`INSERT INTO undone VALUES (1)`);
    await session.run(sql`INSERT INTO undone VALUES (1)`);
  })).rejects.toThrow('There is one with this id already.');
  expect(await connections.run(sql`SELECT * FROM undone`)).toEqual([]);
  expect(await connections.run(pid)).toEqual(before);
  await connections.close();
});

test('nothing is left in the session of a connection: no named statement, no setting, no lock, as a pooler in transaction mode demands', async () => {
  await database.access.insertKey(keyRow());
  await database.spend.record([JSON.stringify(spendLine())]);
  const connections = openConnections({ url: postgres.url, applicationName: 'pooler', poolSize: 1 });
  await connections.transaction(async (session) => session.run(sql`SELECT 1`));
  expect(await connections.run(sql`SELECT name FROM pg_prepared_statements`)).toEqual([]);
  expect(await connections.run(sql`SELECT name FROM pg_settings WHERE source = 'session'`)).toEqual([]);
  expect(await connections.run(sql`SELECT 1 FROM pg_locks WHERE locktype = 'advisory'`)).toEqual([]);
  // What the startup packet sets is limited to what PgBouncer takes.
  const fromClient = await connections.run(sql<{ name: string }>`SELECT name FROM pg_settings WHERE source = 'client' ORDER BY name`);
  expect(fromClient.map(({ name }) => name)).toEqual(['application_name', 'client_encoding']);
  await connections.close();
});

const pids = new Set<string>();
async function backends(): Promise<string[]> {
  const rows = await postgres.sql(`SELECT pid FROM pg_stat_activity WHERE application_name = 'under-test'`);
  for (const [pid] of rows) pids.add(String(pid));
  return rows.map(([pid]) => String(pid));
}

function reasonOf(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason)));
}
