import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, startPostgres, type RunningPostgres } from '@pointsman/testing';
import { connectDatabase } from './connect-database.ts';
import { openConnections } from './connections.ts';
import type { Database } from './database.ts';
import { hashOf, keyRow, spendLine, teamRow, userRow } from './sample-rows.ts';

const never = new AbortController().signal;
let postgres: RunningPostgres;
let url: string;
let database: Database;
beforeAll(async () => {
  postgres = await startPostgres();
  url = await postgres.createDatabase();
  database = connectDatabase({ url, applicationName: 'first' });
  await database.migrate(never);
});
afterAll(async () => {
  await database.close();
  await postgres[Symbol.asyncDispose]();
});

test('a change whose transaction began earlier and commits later than another is not missed, and neither is told twice', async () => {
  const [slow, quick] = [await database.access.insertKey(keyRow()), await database.access.insertKey(keyRow())];
  const start = await database.access.changesSince(undefined);
  const connections = openConnections({ url, applicationName: 'late' });
  let commit = (): void => undefined;
  const mayCommit = new Promise<void>((resolve) => { commit = resolve; });
  let written = (): void => undefined;
  const isWritten = new Promise<void>((resolve) => { written = resolve; });
  const late = connections.transaction(async (session) => {
    await session.run(sql`UPDATE pointsman.virtual_keys SET blocked = true WHERE token = ${slow.token}`);
    written();
    await mayCommit;
  });
  await isWritten;
  await database.access.updateKey(quick.token, { blocked: true });
  const first = await database.access.changesSince(start.cursor);
  expect(first.change).toEqual({ tokens: [quick.token] });
  const second = await database.access.changesSince(first.cursor);
  expect(second.change).toBeUndefined();
  commit();
  await late;
  const third = await database.access.changesSince(second.cursor);
  expect(third.change).toEqual({ tokens: [slow.token] });
  expect((await database.access.changesSince(third.cursor)).change).toBeUndefined();
  await connections.close();
});

test('a reader of the audit log who has seen a row has seen all before it, also when an earlier writer commits late', async () => {
  const row = (chain: string, seq: number): string => JSON.stringify({ chain, seq, at: '2026-11-23T10:00:00.000Z' });
  const connections = openConnections({ url, applicationName: 'late' });
  let commit = (): void => undefined;
  const mayCommit = new Promise<void>((resolve) => { commit = resolve; });
  let written = (): void => undefined;
  const isWritten = new Promise<void>((resolve) => { written = resolve; });
  const late = connections.transaction(async (session) => {
    await session.run(sql`INSERT INTO pointsman.audit_log (chain, seq, at, record) VALUES ('late', 1, now(), ${row('late', 1)}::json)`);
    written();
    await mayCommit;
  });
  await isWritten;
  const second = database.audit.append([row('quick', 1)]);
  await eventually(async () => expect(await postgres.sql(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`, url)).toEqual([['1']]));
  const early = await database.audit.read(undefined, 10);
  expect(early.rows).toEqual([]);
  commit();
  await late;
  await second;
  expect((await database.audit.read(early.cursor, 10)).rows).toMatchObject([{ chain: 'late' }, { chain: 'quick' }]);
  await connections.close();
});

test.each(['UPDATE pointsman.audit_log SET seq = 99', 'DELETE FROM pointsman.audit_log', 'TRUNCATE pointsman.audit_log'])('the audit log refuses: %s', async (statement) => {
  await database.audit.append([JSON.stringify({ chain: 'kept', seq: 1, at: '2026-11-23T10:00:00.000Z' })]);
  await expect(postgres.sql(statement, url)).rejects.toThrow(/append-only/);
  expect(await postgres.sql(`SELECT seq FROM pointsman.audit_log WHERE chain = 'kept'`, url)).toEqual([['1']]);
});

test('replicas that record overlapping batches of the same keys at once, while budgets are reset, lose nothing and count nothing twice', async () => {
  const team = await database.access.insertTeam(teamRow());
  const users = await Promise.all([1, 2, 3].map(() => database.access.insertUser(userRow())));
  const keys = await Promise.all(Array.from({ length: 20 }, () => database.access.insertKey(keyRow({ team_id: team.team_id, budget_duration: '1d' }))));
  const lines = Array.from({ length: 1_000 }, (_, index) => {
    const key = keys[index * 7 % keys.length];
    return JSON.stringify(spendLine({ api_key: key?.token ?? '', team_id: team.team_id, user_id: users[index % 3]?.user_id ?? null, spend: 0.25, model_group: `m${index % 4}` }));
  });
  const replicas = Array.from({ length: 4 }, (_, index) => connectDatabase({ url, applicationName: `replica-${index}`, poolSize: 3, queryTimeoutMs: 20_000 }));
  const counts = await Promise.all(replicas.flatMap((replica, index) => [
    ...Array.from({ length: 10 }, (_, batch) => {
      // Every replica sends everything, in another order and cut otherwise.
      const turned = [...lines.slice(index * 250), ...lines.slice(0, index * 250)];
      const size = 100;
      return replica.spend.record(index % 2 === 0 ? turned.slice(batch * size, (batch + 1) * size) : turned.toReversed().slice(batch * size, (batch + 1) * size));
    }),
    replica.access.resetDueBudgets(new Date('2020-01-01T00:00:00Z')),
  ]));
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1_000);
  expect((await database.access.findTeam(team.team_id))?.spend).toBe(250);
  const stored = await Promise.all(keys.map((key) => database.access.findAccess(key.token)));
  expect(stored.reduce((sum, access) => sum + (access?.key.spend ?? 0), 0)).toBe(250);
  expect((await Promise.all(users.map(({ user_id }) => database.access.findUser(user_id)))).reduce((sum, user) => sum + (user?.spend ?? 0), 0)).toBe(250);
  expect(stored[0]?.model_spend.filter(({ scope }) => scope === 'team').reduce((sum, { spend }) => sum + spend, 0)).toBe(250);
  await Promise.all(replicas.map((replica) => replica.close()));
}, 60_000);

test('spend that waits for the row of a key while that is rotated is added under its new hash', async () => {
  const key = await database.access.insertKey(keyRow());
  const token = hashOf('rotated');
  const connections = openConnections({ url, applicationName: 'holds' });
  let recorded: Promise<number> | undefined;
  await connections.transaction(async (session) => {
    await session.run(sql`UPDATE pointsman.virtual_keys SET token = ${token} WHERE token = ${key.token}`);
    await session.run(sql`INSERT INTO pointsman.key_grace (old_token, token) VALUES (${key.token}, ${token})`);
    recorded = database.spend.record([JSON.stringify(spendLine({ api_key: key.token, spend: 2 }))]);
    await eventually(async () => expect(await postgres.sql(`SELECT count(*) FROM pg_locks WHERE NOT granted`, url)).toEqual([['1']]));
  });
  expect(await recorded).toBe(1);
  expect(await database.access.findAccess(token)).toMatchObject({ key: { spend: 2 }, model_spend: [{ spend: 2 }] });
  await connections.close();
});
