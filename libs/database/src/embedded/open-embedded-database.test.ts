import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, temporaryDirectory, type TemporaryDirectory } from '@pointsman/testing';
import { connectDatabase } from '../connect-database.ts';
import { openConnections } from '../connections.ts';
import { hashOf, keyRow, spendLine } from '../sample-rows.ts';
import { openEmbeddedDatabase } from './open-embedded-database.ts';

const signal = new AbortController().signal;

/** A home whose data folder is made already, as after a first start: making one takes seconds of CPU. */
let template: TemporaryDirectory;
beforeAll(async () => {
  template = await temporaryDirectory();
  await (await openEmbeddedDatabase({ home: template.path, signal })).close();
}, 120_000);
afterAll(() => template[Symbol.asyncDispose]());
async function startedHome(path: string): Promise<void> {
  await cp(join(template.path, 'postgres', 'data'), join(path, 'postgres', 'data'), { recursive: true });
}

/** The number of the server process that holds the data of a home. */
async function serverOf(home: string): Promise<number> {
  const folder = join(home, 'postgres', 'lock');
  const [claim] = (await readdir(folder)).toSorted((a, b) => Number(b.split('.')[1]) - Number(a.split('.')[1]));
  return (JSON.parse(await readFile(join(folder, String(claim)), 'utf8')) as { pid: number }).pid;
}
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
/** Another process that keeps the database of this home, until it is killed. */
async function otherProcess(home: string): Promise<ChildProcess> {
  const script = new URL('./open-embedded-database.ts', import.meta.url).href;
  const child = spawn(process.execPath, ['--input-type=module', '-e', `import { openEmbeddedDatabase } from ${JSON.stringify(script)};
    const opened = await openEmbeddedDatabase({ home: ${JSON.stringify(home)}, signal: new AbortController().signal }); console.log(opened.url); setInterval(() => {}, 1000)`], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}

test('processes of one home share one server; the end of the one that started it disturbs nobody; the server ends with the last', async () => {
  await using home = await temporaryDirectory();
  await startedHome(home.path);
  const first = await otherProcess(home.path);
  const server = await serverOf(home.path);
  const [second, third] = await Promise.all([openEmbeddedDatabase({ home: home.path, signal }), openEmbeddedDatabase({ home: home.path, signal })]);
  expect(second.url).toBe(third.url);
  const database = connectDatabase({ url: second.url, applicationName: 'second', kind: 'embedded' });
  await database.migrate(signal);
  first.kill('SIGKILL');
  await once(first, 'exit');
  const key = await database.access.insertKey(keyRow());
  expect(await serverOf(home.path)).toBe(server);
  await second.close();
  expect(await database.access.findKey(key.token)).toEqual(key);
  expect(isAlive(server)).toBe(true);
  await database.close();
  await third.close();
  await eventually(() => !isAlive(server));

  const again = await openEmbeddedDatabase({ home: home.path, signal });
  const reopened = connectDatabase({ url: again.url, applicationName: 'again' });
  expect(await reopened.access.findKey(key.token)).toEqual(key);
  await reopened.close();
  await again.close();
}, 60_000);

test('a server that is killed at any moment comes back by itself with all that was committed, at the same address', async () => {
  await using home = await temporaryDirectory();
  await startedHome(home.path);
  const away: unknown[] = [];
  const opened = await openEmbeddedDatabase({ home: home.path, signal, onAway: (reason) => away.push(reason) });
  const database = connectDatabase({ url: opened.url, applicationName: 'writer', kind: 'embedded' });
  await database.migrate(signal);
  const key = await database.access.insertKey(keyRow());
  let acknowledged = 0;
  for (let round = 1; round <= 3; round += 1) {
    const server = await serverOf(home.path);
    const killAfter = acknowledged + 7 * round;
    // One writer without a pause: the kill meets it in the middle of something.
    for (;;) {
      const lines = [0, 1, 2].map((index) => JSON.stringify(spendLine({ id: `${round}-${acknowledged}-${index}`, api_key: key.token, spend: 0.25 })));
      try {
        acknowledged += await database.spend.record(lines);
      } catch {
        break;
      }
      if (acknowledged >= killAfter && isAlive(server)) setImmediate(() => process.kill(server, 'SIGKILL'));
    }
    await eventually(() => database.ping(signal));
    expect(await serverOf(home.path)).not.toBe(server);
    const { spend, requests } = await database.spend.total({ api_key: key.token });
    expect(requests).toBeGreaterThanOrEqual(acknowledged);
    expect(requests - acknowledged).toBeLessThanOrEqual(3);
    expect((await database.access.findKey(key.token))?.spend).toBe(spend);
    acknowledged = requests;
  }
  // Who opened it hears of its return from a process of its own: perhaps a moment after the first answer.
  await eventually(() => expect(away.filter((reason) => reason === undefined)).toHaveLength(3));
  await database.close();
  await opened.close();
}, 60_000);

test('connections take turns: transactions of several do not mix, and one whose client vanished in its middle is undone and lets the others go on', async () => {
  await using home = await temporaryDirectory();
  // Too long for a socket's path: the sockets go elsewhere.
  const deep = join(home.path, 'x'.repeat(100));
  await mkdir(deep);
  await startedHome(deep);
  const opened = await openEmbeddedDatabase({ home: deep, signal });
  const connections = openConnections({ url: opened.url, applicationName: 'turns', poolSize: 8, queryTimeoutMs: 20_000 });
  await connections.run(sql`CREATE TABLE counted (id int PRIMARY KEY, n int)`);
  await connections.run(sql`INSERT INTO counted VALUES (1, 0)`);
  await Promise.all(Array.from({ length: 24 }, (_, index) => connections.transaction(async (session) => {
    const [row] = await session.run(sql<{ n: number }>`SELECT n FROM counted WHERE id = 1`);
    await session.run(sql`UPDATE counted SET n = ${(row?.n ?? 0) + 1}::int WHERE id = 1`);
    if (index % 3 === 0) throw new TypeError('undone');
  }).catch((error: unknown) => expect(error).toBeInstanceOf(TypeError))));
  expect(await connections.run(sql`SELECT n FROM counted`)).toEqual([{ n: 16 }]);

  const leaving = new AbortController();
  const vanished = connections.transaction(async (session) => {
    await session.run(sql`UPDATE counted SET n = -1`);
    leaving.abort(new Error('left'));
    await session.run(sql`SELECT 1`);
  }, { signal: leaving.signal });
  await expect(vanished).rejects.toThrow('left');
  expect(await connections.run(sql`SELECT n FROM counted`)).toEqual([{ n: 16 }]);
  // A batch of the ledger is far larger than one read of a socket.
  const large = 'x'.repeat(3_000_000);
  expect(await connections.run(sql`SELECT length(${large}::text) AS length`)).toEqual([{ length: large.length }]);
  expect(hashOf(String((await connections.run(sql<{ back: string }>`SELECT ${large}::text AS back`))[0]?.back))).toBe(hashOf(large));
  await connections.close();
  await opened.close();
}, 60_000);

test('a start that is given up leaves no process behind and says why', async () => {
  await using home = await temporaryDirectory();
  await expect(openEmbeddedDatabase({ home: home.path, signal: AbortSignal.timeout(100) })).rejects.toThrow(/timeout/);
  await startedHome(home.path);
  const opened = await openEmbeddedDatabase({ home: home.path, signal });
  await opened.close();
}, 60_000);
