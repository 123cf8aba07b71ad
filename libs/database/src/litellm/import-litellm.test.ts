import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPostgres, type RunningPostgres } from '@pointsman/testing';
import { connectDatabase } from '../connect-database.ts';
import type { Database } from '../database.ts';
import { hashOf, keyRow } from '../sample-rows.ts';
import { importLiteLlm } from './import-litellm.ts';

const signal = new AbortController().signal;
let postgres: RunningPostgres;
let from: string;
beforeAll(async () => {
  postgres = await startPostgres({ settings: { timezone: 'Asia/Tokyo' } });
  from = await postgres.createDatabase();
  // Columns and types as LiteLLM's Prisma schema makes them.
  await postgres.sql(`
    CREATE TABLE "LiteLLM_BudgetTable" (budget_id text PRIMARY KEY, max_budget float8, soft_budget float8, max_parallel_requests int, tpm_limit bigint, rpm_limit bigint, model_max_budget jsonb,
      budget_duration text, budget_reset_at timestamp(3), created_at timestamp(3) NOT NULL DEFAULT now(), created_by text NOT NULL, updated_at timestamp(3) NOT NULL DEFAULT now(), updated_by text NOT NULL);
    CREATE TABLE "LiteLLM_TeamTable" (team_id text PRIMARY KEY, team_alias text, organization_id text, admins text[], members text[], members_with_roles jsonb NOT NULL DEFAULT '{}', metadata jsonb NOT NULL DEFAULT '{}',
      max_budget float8, spend float8 NOT NULL DEFAULT 0, models text[], max_parallel_requests int, tpm_limit bigint, rpm_limit bigint, budget_duration text, budget_reset_at timestamp(3), blocked bool NOT NULL DEFAULT false,
      created_at timestamp(3) NOT NULL DEFAULT now(), updated_at timestamp(3) NOT NULL DEFAULT now(), model_spend jsonb NOT NULL DEFAULT '{}', model_max_budget jsonb NOT NULL DEFAULT '{}');
    CREATE TABLE "LiteLLM_UserTable" (user_id text PRIMARY KEY, user_alias text, team_id text, teams text[], user_role text, max_budget float8, spend float8 NOT NULL DEFAULT 0, user_email text, models text[],
      metadata jsonb NOT NULL DEFAULT '{}', max_parallel_requests int, tpm_limit bigint, rpm_limit bigint, budget_duration text, budget_reset_at timestamp(3), created_at timestamp(3), updated_at timestamp(3));
    CREATE TABLE "LiteLLM_VerificationToken" (token text PRIMARY KEY, key_name text, key_alias text, spend float8 NOT NULL DEFAULT 0, expires timestamp(3), models text[], aliases jsonb NOT NULL DEFAULT '{}', config jsonb NOT NULL DEFAULT '{}',
      user_id text, team_id text, permissions jsonb NOT NULL DEFAULT '{}', max_parallel_requests int, metadata jsonb NOT NULL DEFAULT '{}', blocked bool, tpm_limit bigint, rpm_limit bigint, max_budget float8, budget_duration text,
      budget_reset_at timestamp(3), allowed_cache_controls text[] DEFAULT '{}', allowed_routes text[] DEFAULT '{}', model_spend jsonb NOT NULL DEFAULT '{}', model_max_budget jsonb NOT NULL DEFAULT '{}', budget_id text,
      created_at timestamp(3), created_by text, updated_at timestamp(3), updated_by text);
    INSERT INTO "LiteLLM_BudgetTable" (budget_id, max_budget, tpm_limit, budget_duration, created_by, updated_by) VALUES ('free tier', 1.5, 5000000000, '30d', 'admin', 'admin');
    INSERT INTO "LiteLLM_TeamTable" (team_id, team_alias, admins, members, members_with_roles, max_budget, spend, models) VALUES
      ('t1', 'research', '{u1}', '{u1,u2}', '[{"role": "admin", "user_id": "u1"}, {"role": "user", "user_email": "x@y.z"}]', 100, 12.5, '{gpt-4o}'), ('t2', NULL, '{u1}', '{u1,u2}', '{}', NULL, 0, '{}');
    INSERT INTO "LiteLLM_UserTable" (user_id, user_email, user_role, teams, spend) VALUES ('u1', 'a@b.c', 'proxy_admin', '{t1}', 3), ('u2', NULL, 'customer', '{}', 0);
    INSERT INTO "LiteLLM_VerificationToken" (token, key_name, key_alias, spend, expires, models, aliases, user_id, team_id, metadata, rpm_limit, budget_duration, model_max_budget, budget_id, created_at) VALUES
      ('${hashOf('sk-one')}', 'sk-...one1', 'prod', 4.25, '2031-02-03 04:05:06.789', '{gpt-4o,fast}', '{"m": "fast"}', 'u1', 't1', '{"tags": ["a"], "model_rpm_limit": {"fast": 3}, "owner": "x"}', 100, '7d',
        '{"gpt-4o": {"budget_limit": 5, "time_period": "1d"}, "fast": 2, "bad": "much"}', 'free tier', '2025-01-01 00:00:00'),
      ('${hashOf('sk-two')}', 'sk-...two2', 'prod', 0, NULL, '{}', '{}', NULL, NULL, '{}', NULL, 'fortnight', '{}', NULL, NULL),
      ('sk-unhashed', NULL, NULL, 0, NULL, '{}', '{}', NULL, NULL, '{}', NULL, NULL, '{}', NULL, NULL),
      ('not a hash', 'sk-...4444', 'odd', 0, NULL, '{}', '{}', NULL, NULL, '{}', NULL, NULL, '{}', NULL, NULL),
      ('${hashOf('sk-login')}', 'sk-...5555', 'login', 0, NULL, '{}', '{}', NULL, 'litellm-dashboard', '{}', NULL, NULL, '{}', NULL, NULL)`, from);
});
afterAll(() => postgres[Symbol.asyncDispose]());

async function fresh(): Promise<Database & AsyncDisposable> {
  const database = connectDatabase({ url: await postgres.createDatabase(), applicationName: 'import' });
  await database.migrate(signal);
  return { ...database, [Symbol.asyncDispose]: () => database.close() };
}

test('keys of a LiteLLM database work here by the same secret, with their teams, users, budgets and limits', async () => {
  await using into = await fresh();
  const progress: number[] = [];
  const result = await importLiteLlm({ from: `${from}?schema=public&connection_limit=5`, into, signal, onProgress: ({ key }) => progress.push(key.read) });
  expect(result.counts).toEqual({
    budget: { read: 1, taken: 1, present: 0, refused: 0 }, team: { read: 2, taken: 2, present: 0, refused: 0 },
    user: { read: 2, taken: 2, present: 0, refused: 0 }, key: { read: 5, taken: 3, present: 0, refused: 2 },
  });
  expect(progress.at(-1)).toBe(5);
  const access = await into.access.findAccess(hashOf('sk-one'));
  expect(access).toMatchObject({
    key: {
      key_name: 'sk-...one1', spend: 4.25, expires: new Date('2031-02-03T04:05:06.789Z'), models: ['gpt-4o', 'fast'], aliases: { m: 'fast' }, metadata: { owner: 'x' }, tags: ['a'], model_rpm_limit: { fast: 3 },
      rpm_limit: 100, budget_duration: '7d', model_max_budget: { 'gpt-4o': { max_budget: 5, budget_duration: '1d' }, fast: { max_budget: 2, budget_duration: null } }, created_at: new Date('2025-01-01T00:00:00Z'), blocked: false,
    },
    team: { team_alias: 'research', members_with_roles: [{ user_id: 'u1', role: 'admin' }], max_budget: 100, spend: 12.5 }, user: { user_role: 'proxy_admin', teams: ['t1'] },
    budget: { max_budget: 1.5, tpm_limit: 5_000_000_000, budget_duration: '30d' },
  });
  expect((await into.access.findTeam('t2'))?.members_with_roles).toEqual([{ user_id: 'u1', role: 'admin' }, { user_id: 'u2', role: 'user' }]);
  expect(await into.access.findAccess(hashOf('sk-unhashed'))).toBeDefined();
  expect(await into.access.findAccess(hashOf('sk-login'))).toBeUndefined();
  expect(result.refused.map(({ kind, name, reason }) => [kind, name, reason])).toEqual([
    ['key', 'login', 'It is a login of the LiteLLM dashboard.'], ['key', 'odd', 'Its token is no SHA-256.'],
  ].toSorted((a, b) => result.refused.findIndex(({ name }) => name === a[1]) - result.refused.findIndex(({ name }) => name === b[1])));
  const reasons = result.adjusted.map(({ reason }) => reason).join('\n');
  for (const part of ['members without a user id', 'role customer', 'model bad', 'duration fortnight', 'alias is taken']) expect(reasons).toContain(part);
  expect(JSON.stringify(result)).not.toContain('sk-unhashed');
});

test('running it again changes nothing; what was changed here is left unless overwriting is asked for, and what was rotated here does not come back', async () => {
  await using into = await fresh();
  await importLiteLlm({ from, into, signal });
  const token = hashOf('sk-one');
  await into.access.updateKey(token, { max_budget: 77 });
  await into.access.rotateKey(hashOf('sk-two'), { token: hashOf('sk-rotated'), key_name: 'sk-...rota', graceUntil: undefined });
  const before = (await into.access.listKeys({}, { page: 1, size: 50 })).rows;
  const again = await importLiteLlm({ from, into, signal });
  expect(Object.values(again.counts).map(({ taken }) => taken)).toEqual([0, 0, 0, 0]);
  expect(again.adjusted).toEqual([]);
  expect((await into.access.listKeys({}, { page: 1, size: 50 })).rows).toEqual(before);
  await importLiteLlm({ from, into, signal, overwrite: true });
  expect((await into.access.findKey(token))?.max_budget).toBeNull();
  expect(await into.access.findAccess(hashOf('sk-two'))).toBeUndefined();
});

test('a dry run tells the same and writes nothing', async () => {
  await using into = await fresh();
  await into.access.insertKey(keyRow({ key_alias: 'prod' }));
  const dry = await importLiteLlm({ from, into, signal, dryRun: true });
  expect(dry.counts.key).toEqual({ read: 5, taken: 3, present: 0, refused: 2 });
  expect(dry.adjusted.filter(({ reason }) => reason.includes('alias'))).toHaveLength(2);
  expect((await into.access.listKeys({}, { page: 1, size: 1 })).total).toBe(1);
  expect((await into.access.listTeams({}, { page: 1, size: 1 })).total).toBe(0);
});

test('an older version without most columns and tables is read; what is no LiteLLM database, or does not answer, is said clearly', async () => {
  await using into = await fresh();
  const old = await postgres.createDatabase();
  await expect(importLiteLlm({ from: old, into, signal })).rejects.toThrow(/not a LiteLLM database/);
  await postgres.sql(`CREATE TABLE "LiteLLM_VerificationToken" (token text PRIMARY KEY, spend float8, expires timestamp(3), models text[]); INSERT INTO "LiteLLM_VerificationToken" SELECT encode(sha256(i::text::bytea), 'hex'), i FROM generate_series(1, 1201) i`, old);
  expect((await importLiteLlm({ from: old, into, signal })).counts.key).toEqual({ read: 1_201, taken: 1_201, present: 0, refused: 0 });
  await expect(importLiteLlm({ from: 'postgres://127.0.0.1:1/x', into, signal })).rejects.toMatchObject({ kind: 'unavailable' });
  await expect(importLiteLlm({ from: 'mysql://x', into, signal })).rejects.toThrow(/postgres/);
}, 120_000);
