import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPostgres, type RunningPostgres } from '@pointsman/testing';
import { connectDatabase } from './connect-database.ts';
import { openConnections } from './connections.ts';
import { migrate } from './migrate.ts';
import { migrations } from './migrations/index.ts';
import { keyRow } from './sample-rows.ts';

const never = new AbortController().signal;
let postgres: RunningPostgres;
beforeAll(async () => { postgres = await startPostgres(); });
afterAll(() => postgres[Symbol.asyncDispose]());

const open = (url: string, applicationName = 'migrate'): ReturnType<typeof connectDatabase> => connectDatabase({ url, applicationName, poolSize: 1 });

test('twenty replicas that start at once on an empty database: each migration runs once, and all of them can work', async () => {
  const url = await postgres.createDatabase();
  const replicas = Array.from({ length: 20 }, (_, index) => open(url, `replica-${index}`));
  const results = await Promise.all(replicas.map((replica) => replica.migrate(never)));
  expect(results.flatMap(({ applied }) => applied)).toEqual(migrations.map(({ name }) => name));
  await Promise.all(replicas.map((replica) => replica.access.insertKey(keyRow())));
  await Promise.all(replicas.map((replica) => replica.close()));
  expect(await postgres.sql('SELECT count(*) FROM pointsman.virtual_keys', url)).toEqual([['20']]);
});

test('a migration that fails leaves nothing behind, and the next start does it all', async () => {
  const url = await postgres.createDatabase();
  const connections = openConnections({ url, applicationName: 'migrate' });
  const broken = [...migrations, { name: '9999-broken', sql: 'CREATE TABLE pointsman.half (id int); SELECT nonsense' }];
  await expect(migrate(connections, never, broken)).rejects.toThrow(/nonsense/);
  expect(await postgres.sql(`SELECT count(*) FROM pg_namespace WHERE nspname = 'pointsman'`, url)).toEqual([['0']]);
  expect((await migrate(connections, never)).applied).toHaveLength(migrations.length);
  await connections.close();
});

test('a schema that a newer image made is accepted and left alone: rolling back an image works', async () => {
  const url = await postgres.createDatabase();
  const newer = openConnections({ url, applicationName: 'newer' });
  await migrate(newer, never, [...migrations, { name: '9999-future', sql: `ALTER TABLE pointsman.virtual_keys ADD COLUMN future text NOT NULL DEFAULT 'x'` }]);
  await newer.close();
  const older = open(url);
  expect(await older.migrate(never)).toEqual({ applied: [] });
  const row = keyRow();
  expect(await older.access.insertKey(row)).toEqual(row);
  expect((await older.access.findAccess(row.token))?.key).toEqual(row);
  await older.close();
});

test('the names of migrations are in the order they run in', () => {
  const names = migrations.map(({ name }) => name);
  expect(names).toEqual(names.toSorted());
  expect(new Set(names).size).toBe(names.length);
});

test('a user who may do nothing but use a schema that was made for it can migrate; tables of others stay as they are', async () => {
  const url = await postgres.createDatabase();
  await postgres.sql(`CREATE ROLE humble LOGIN; REVOKE CREATE ON DATABASE ${new URL(url).pathname.slice(1)} FROM PUBLIC; CREATE SCHEMA pointsman AUTHORIZATION humble;
    CREATE TABLE public.users (mine text); INSERT INTO public.users VALUES ('kept')`, url);
  const database = open(url.replace('postgres@', 'humble@'));
  await database.migrate(never);
  await database.close();
  expect(await postgres.sql('SELECT mine FROM public.users', url)).toEqual([['kept']]);
});
