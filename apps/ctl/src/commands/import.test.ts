import { createHash } from 'node:crypto';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { connectDatabase, openEmbeddedDatabase, type Database } from '@pointsman/database';
import { startPostgres, temporaryDirectory, type RunningPostgres, type TemporaryDirectory } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand } from '../run-command.ts';

const { signal } = new AbortController();
const SECRET = 'hunter2';
let postgres: RunningPostgres;
let folder: TemporaryDirectory;
let from: string;
beforeAll(async () => {
  [postgres, folder] = await Promise.all([startPostgres(), temporaryDirectory()]);
  from = withPassword(await postgres.createDatabase());
  // The columns that matter here, with the types of LiteLLM's Prisma schema.
  await postgres.sql(`
    CREATE TABLE "LiteLLM_TeamTable" (team_id text PRIMARY KEY, team_alias text, members_with_roles jsonb NOT NULL DEFAULT '{}', max_budget float8, spend float8 NOT NULL DEFAULT 0, models text[], blocked bool NOT NULL DEFAULT false);
    CREATE TABLE "LiteLLM_UserTable" (user_id text PRIMARY KEY, user_role text, teams text[], spend float8 NOT NULL DEFAULT 0);
    CREATE TABLE "LiteLLM_VerificationToken" (token text PRIMARY KEY, key_name text, key_alias text, spend float8 NOT NULL DEFAULT 0, expires timestamp(3), models text[], user_id text, team_id text, rpm_limit bigint, max_budget float8, metadata jsonb NOT NULL DEFAULT '{}');
    INSERT INTO "LiteLLM_TeamTable" VALUES ('t1', 'research', '[{"role": "admin", "user_id": "u1"}]', 100, 12.5, '{gpt-4o}');
    INSERT INTO "LiteLLM_UserTable" VALUES ('u1', 'customer', '{t1}');
    INSERT INTO "LiteLLM_VerificationToken" (token, key_name, key_alias, spend, models, user_id, team_id, rpm_limit) VALUES
      ('${hashOf('sk-prod')}', 'sk-...prod', 'prod', 4.25, '{gpt-4o}', 'u1', 't1', 100), ('not a hash', 'sk-...4444', E'odd\\u001b[2J', 0, '{}', NULL, NULL, NULL)`, from);
});
afterAll(() => Promise.all([postgres[Symbol.asyncDispose](), folder[Symbol.asyncDispose]()]));

function hashOf(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

/** This server trusts everybody, so any password is right. */
function withPassword(url: string): string {
  return url.replace('postgres@', `postgres:${SECRET}@`);
}

async function run(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<{ code: number; out: string; errors: string }> {
  const out: string[] = [];
  const errors: string[] = [];
  const code = await runCommand(['import', 'litellm', ...argv], { env, columns: undefined, print: (text) => out.push(text), printError: (text) => errors.push(text) });
  expect(out.join() + errors.join()).not.toContain(SECRET);
  return { code, out: out.join('\n'), errors: errors.join('\n') };
}

function open(url: string): Database & AsyncDisposable {
  const database = connectDatabase({ url, applicationName: 'test' });
  return { ...database, [Symbol.asyncDispose]: () => database.close() };
}

test('a key of LiteLLM is found here by the SHA-256 of itself, with team, user, limits and spend; what was refused is named and fails the command', async () => {
  const into = withPassword(await postgres.createDatabase());
  const { code, out } = await run(['--from', from, '--into', into]);
  expect(code).toBe(1);
  expect(out).toMatch(/READ +TAKEN +HERE ALREADY +REFUSED\n +budgets +0 +0 +0 +0\n +teams +1 +1 +0 +0\n +users +1 +1 +0 +0\n +keys +2 +1 +0 +1\n/);
  expect(out).toMatch(/Refused \(1\)\n +key +odd\?\[2J +Its token is no SHA-256\./);
  expect(out).toMatch(/Taken otherwise than it stood there \(1\)\n +user +u1 +The role customer is unknown/);
  expect(out).toMatch(/Imported into 127\.0\.0\.1:\d+\/test_\d+\./);
  await using database = open(into);
  expect(await database.access.findAccess(hashOf('sk-prod'))).toMatchObject({
    key: { token: hashOf('sk-prod'), key_alias: 'prod', spend: 4.25, rpm_limit: 100, models: ['gpt-4o'] }, team: { team_alias: 'research', max_budget: 100, spend: 12.5, members_with_roles: [{ user_id: 'u1', role: 'admin' }] },
    user: { user_id: 'u1', user_role: 'internal_user_viewer' },
  });
  expect(await database.access.findAccess(hashOf('sk-other'))).toBeUndefined();
  expect((await database.audit.read(undefined, 10)).rows).toMatchObject([{ action: 'audit.opened' }, { action: 'litellm.import', after: { taken: { teams: 1, keys: 1 }, refused: 1, overwrite: false } }, { action: 'audit.closed' }]);
  expect(JSON.stringify(await database.audit.read(undefined, 10))).not.toContain(SECRET);
  expect(await runCommand(['audit', 'verify', '--database', into], { env: {}, columns: undefined, print: () => undefined, printError: () => undefined })).toBe(0);
});

test('DATABASE_URL is where it goes without --into; again it takes nothing, with --overwrite what is there; machines get JSON', async () => {
  const into = await postgres.createDatabase();
  const first = await run(['--from', from, '--json'], { DATABASE_URL: into });
  expect(JSON.parse(first.out)).toMatchObject({ dry_run: false, counts: { key: { read: 2, taken: 1, present: 0, refused: 1 } }, refused: [{ kind: 'key', reason: 'Its token is no SHA-256.' }] });
  await using database = open(into);
  await database.access.updateKey(hashOf('sk-prod'), { rpm_limit: 7 });
  expect(JSON.parse((await run(['--from', from, '--json'], { DATABASE_URL: into })).out)).toMatchObject({ counts: { key: { taken: 0, present: 1 } } });
  expect((await database.access.findKey(hashOf('sk-prod')))?.rpm_limit).toBe(7);
  await run(['--from', from, '--overwrite'], { DATABASE_URL: into });
  expect((await database.access.findKey(hashOf('sk-prod')))?.rpm_limit).toBe(100);
});

test('a dry run says what would happen and writes no row', async () => {
  const into = await postgres.createDatabase();
  const { code, out } = await run(['--from', from, '--into', into, '--dry-run']);
  expect([code, out]).toEqual([1, expect.stringMatching(/WOULD BE TAKEN[^]*Dry run: nothing was written into/)]);
  await using database = open(into);
  expect((await database.access.listKeys({}, { page: 1, size: 1 })).total).toBe(0);
  expect((await database.audit.read(undefined, 10)).rows).toEqual([]);
});

test('without any URL it goes into the embedded database of POINTSMAN_HOME, which is made', async () => {
  const home = join(folder.path, 'home');
  const { out } = await run(['--from', from], { POINTSMAN_HOME: home, DATABASE_URL: '' });
  expect(out).toContain(`Imported into the embedded database under ${home}.`);
  await access(join(home, 'postgres'));
  const embedded = await openEmbeddedDatabase({ home, signal });
  await using database = open(embedded.url);
  expect((await database.access.findAccess(hashOf('sk-prod')))?.key.key_alias).toBe('prod');
  await embedded.close();
}, 60_000);

test.each([
  [['--into', 'postgres://x:hunter2@127.0.0.1:1/y'], /127\.0\.0\.1:1\/y: .*ECONNREFUSED/],
  [['--into', 'postgres://x:hunter2/#@h/y'], /--into expects postgres:\/\//],
  [['--into', 'mysql://x:hunter2@h/y'], /--into expects postgres:\/\//],
])('a database that cannot be used is named without its password: %j', async (argv, message) => {
  expect(await run(['--from', from, ...argv])).toMatchObject({ code: 1, errors: expect.stringMatching(message) as string });
});

test('what is no LiteLLM database, is away or is no URL is told apart', async () => {
  const into = await postgres.createDatabase();
  expect((await run(['--from', into, '--into', into])).errors).toContain('this is not a LiteLLM database');
  expect((await run(['--from', 'postgres://x:hunter2@127.0.0.1:1/y', '--into', into])).errors).toMatch(/127\.0\.0\.1:1\/y into .*ECONNREFUSED/);
  expect((await run(['--from', 'hunter2', '--into', into])).errors).toContain('--from expects postgres://');
  expect((await run(['--into', into])).code).toBe(1);
});
