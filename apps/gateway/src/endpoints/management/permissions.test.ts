import { createMemoryCounters } from '@pointsman/redis';
import { systemClock } from '@pointsman/timing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CountedLimits } from '../../access/counted-limits.ts';
import { entry } from '../../fake-gateway.fixture.ts';
import { foundCompany, startManagedGateway, type Company, type ManagedGateway } from './fake-database.fixture.ts';
import { hashOfKey } from './key-rows.ts';

describe('what an admin of a team may not do to keys', () => {
  let managed: ManagedGateway;
  let company: Company;
  let stored = '';
  beforeAll(async () => {
    managed = await startManagedGateway();
    company = await foundCompany(managed);
    stored = managed.database.snapshot();
  });
  afterAll(() => managed[Symbol.asyncDispose]());

  test.each<[string, string, Record<string, unknown>, string]>([
    ['make one outside a team', '/key/generate', {}, 'team_id'],
    ['make one in another team', '/key/generate', { team_id: 'blue' }, "'blue'"],
    ['make one in a team that is not there', '/key/generate', { team_id: 'nope' }, "'nope'"],
    ['spend more than the team', '/key/generate', { team_id: 'red', max_budget: 101 }, 'max_budget'],
    ['ask faster than the team', '/key/generate', { team_id: 'red', rpm_limit: 61 }, 'rpm_limit'],
    ['use models that the team may not', '/key/generate', { team_id: 'red', models: ['chat', 'secret'] }, "'secret'"],
    ['use them by an alias', '/key/generate', { team_id: 'red', aliases: { chat: 'secret' } }, "'secret'"],
    ['attach a budget', '/key/generate', { team_id: 'red', budget_id: 'large' }, 'budget_id'],
    ['grant permissions', '/key/generate', { team_id: 'red', permissions: { allow_pii_controls: true } }, 'allow_pii_controls'],
    ['make a key of an administrator', '/key/generate', { team_id: 'red', user_id: 'root' }, 'administrators'],
    ['make a key of a viewer', '/key/generate', { team_id: 'red', user_id: 'auditor' }, 'administrators'],
    ['make a key of somebody outside', '/key/generate', { team_id: 'red', user_id: 'bob' }, 'not a member'],
    ['change a key of another team', '/key/update', { key: 'BLUE', rpm_limit: 1 }, 'admin of team'],
    ['change a key of no team', '/key/update', { key: 'LONE', rpm_limit: 1 }, 'may manage'],
    ['pull a lone key into the team', '/key/update', { key: 'LONE', team_id: 'red' }, 'may manage'],
    ['raise a key above the team', '/key/update', { key: 'MEMBER', max_budget: 1_000 }, 'max_budget'],
    ['move a key to another team', '/key/update', { key: 'MEMBER', team_id: 'blue' }, 'team_id'],
    ['take a key out of the team', '/key/update', { key: 'MEMBER', team_id: null }, 'team_id'],
    ['give a key to an administrator', '/key/update', { key: 'MEMBER', user_id: 'root' }, 'administrators'],
    ['forget what was spent', '/key/update', { key: 'MEMBER', spend: 3 }, 'spend'],
    ['take over the key of an administrator', '/key/regenerate', { key: 'ROOT' }, 'administrators'],
    ['change the key of an administrator', '/key/update', { key: 'ROOT', rpm_limit: 1 }, 'administrators'],
    ['rotate a key of another team', '/key/regenerate', { key: 'BLUE' }, 'admin of team'],
    ['rotate and raise', '/key/regenerate', { key: 'MEMBER', rpm_limit: 1_000 }, 'rpm_limit'],
    ['delete a key of another team, hidden among its own', '/key/delete', { keys: ['MEMBER', 'BLUE'] }, 'admin of team'],
    ['delete it by alias', '/key/delete', { key_aliases: ['blue'] }, 'admin of team'],
    ['block a key of another team', '/key/block', { key: 'BLUE' }, 'admin of team'],
    ['make a service account elsewhere', '/key/service-account/generate', { team_id: 'blue' }, "'blue'"],
    ['set spend back', '/key/SELF/reset_spend', { reset_to: 0 }, 'admin key'],
    ['change its team', '/team/update', { team_id: 'red', max_budget: 1_000 }, 'admin key'],
    ['make itself an administrator', '/user/update', { user_id: 'ruth', user_role: 'proxy_admin' }, 'admin key'],
  ])('%s', async (_name, path, body, words) => {
    const text = JSON.stringify(body).replaceAll('"MEMBER"', `"${company.member}"`).replaceAll('"BLUE"', `"${company.blue}"`).replaceAll('"LONE"', `"${company.lone}"`).replaceAll('"ROOT"', `"${company.redOfAdmin}"`);
    const heard = managed.audited.length;
    const { status, body: reply } = await managed.post(path.replace('SELF', company.redAdmin), text, company.redAdmin);
    expect([status, reply]).toEqual([403, { error: expect.objectContaining({ message: expect.stringContaining(words) as string }) as unknown }]);
    expect(managed.database.snapshot()).toBe(stored);
    expect(managed.audited.slice(heard)).toEqual([expect.objectContaining({ action: 'denied', actor: 'key:red-admin' })]);
  });
});

test('an admin of a team manages the keys of that team within its limits', async () => {
  await using managed = await startManagedGateway();
  const { redAdmin, member } = await foundCompany(managed);
  const { status, body: made } = await managed.post('/key/generate', { team_id: 'red', user_id: 'mia', max_budget: 100, rpm_limit: 60, models: ['chat'] }, redAdmin);
  expect([status, made]).toEqual([200, expect.objectContaining({ team_id: 'red', created_by: 'ruth' })]);
  expect((await managed.post('/key/update', { key: made['key'], max_budget: 50, user_id: null }, redAdmin)).body).toMatchObject({ max_budget: 50, user_id: null });
  expect((await managed.post('/key/block', { key: member }, redAdmin)).status).toBe(200);
  expect((await managed.post('/key/unblock', { key: member }, redAdmin)).status).toBe(200);
  expect((await managed.post('/key/regenerate', { key: made['key'] }, redAdmin)).status).toBe(200);
  expect((await managed.post('/key/delete', { keys: [member] }, redAdmin)).status).toBe(200);
  expect((await managed.get('/key/list?team_id=red', redAdmin)).body).toMatchObject({ total_count: 3 });
  expect((await managed.get('/key/list?team_id=blue', redAdmin)).status).toBe(403);
  expect((await managed.get('/key/list', redAdmin)).status).toBe(403);
});

test('a key makes no key that may call more than itself', async () => {
  await using managed = await startManagedGateway();
  const { redAdmin } = await foundCompany(managed);
  await managed.post('/key/update', { key: redAdmin, allowed_routes: ['/key/*'] });
  expect((await managed.post('/key/generate', { team_id: 'red' }, redAdmin)).body).toMatchObject({ allowed_routes: ['/key/*'] });
  expect((await managed.post('/key/generate', { team_id: 'red', allowed_routes: ['management_routes'] }, redAdmin)).status).toBe(403);
  expect((await managed.post('/key/generate', { team_id: 'red', key_type: 'llm_api' }, redAdmin)).status).toBe(403);
});

test('an ordinary key sees itself, its team without the others\' keys, and its user', async () => {
  await using managed = await startManagedGateway();
  const { member, blue, lone } = await foundCompany(managed);
  expect((await managed.get('/key/info', member)).body).toMatchObject({ key: hashOfKey(member), info: { key_alias: 'member' } });
  expect((await managed.get(`/key/info?key=${member}`, member)).status).toBe(200);
  expect((await managed.get('/team/info', member)).body).toMatchObject({ team_id: 'red', team_info: { max_budget: 100 }, keys: [{ key_alias: 'member' }] });
  expect((await managed.get('/user/info', member)).body).toMatchObject({ user_id: 'mia', user_info: { user_role: 'internal_user', teams: ['red'] } });
  for (const path of [`/key/info?key=${blue}`, '/key/info?key=sk-nobody-has-this-key', '/team/info?team_id=blue', '/team/info?team_id=nope', '/user/info?user_id=ruth', '/user/info?user_id=nope', '/key/list', '/user/list', '/team/list']) {
    expect((await managed.get(path, member)).status, path).toBe(403);
    expect(managed.audited.at(-1)).toMatchObject({ action: 'denied', actor: 'key:member' });
  }
  for (const path of ['/team/info', '/user/info']) expect((await managed.get(path, lone)).status, path).toBe(400);
});

test('a key of a proxy admin does what the master key does, under its own name in the audit log', async () => {
  await using managed = await startManagedGateway();
  const { admin, blue } = await foundCompany(managed);
  expect((await managed.post('/team/update', { team_id: 'blue', max_budget: 3 }, admin)).status).toBe(200);
  expect(managed.audited.at(-1)).toMatchObject({ actor: 'key:admin', action: 'team.update', resource: 'team:blue', before: { max_budget: null }, after: { max_budget: 3 }, ip: expect.any(String) as string, requestId: expect.any(String) as string });
  expect((await managed.post('/key/delete', { keys: [blue] }, admin)).status).toBe(200);
});

describe('an admin of a team whose own key has limits', () => {
  let managed: ManagedGateway;
  let company: Company;
  let own = '';
  let large = '';
  let budgeted = '';
  let stored = '';
  beforeAll(async () => {
    managed = await startManagedGateway();
    company = await foundCompany(managed);
    await managed.post('/team/update', { team_id: 'red', models: [] });
    const bounds = { max_budget: 5, budget_duration: '30d', rpm_limit: 10, tpm_limit: 1_000, max_parallel_requests: 2, models: ['chat', 'small-*'], duration: '7d', model_max_budget: { chat: { max_budget: 1, budget_duration: '1d' } }, model_rpm_limit: { chat: 3 }, allowed_routes: ['management_routes', 'llm_api_routes'] };
    own = String((await managed.post('/key/generate', { team_id: 'red', user_id: 'ruth', key_alias: 'own', ...bounds })).body['key']);
    large = String((await managed.post('/key/generate', { team_id: 'red', user_id: 'mia', max_budget: 90, models: ['chat'] })).body['key']);
    budgeted = String((await managed.post('/key/generate', { team_id: 'red', user_id: 'ruth', key_alias: 'budgeted', budget_id: 'large' })).body['key']);
    stored = managed.database.snapshot();
  });
  afterAll(() => managed[Symbol.asyncDispose]());

  const RAISED: readonly (readonly [string, Record<string, unknown>])[] = [
    ['max_budget', { max_budget: null }], ['max_budget', { max_budget: 6 }], ['rpm_limit', { rpm_limit: null }], ['rpm_limit', { rpm_limit: 11 }], ['tpm_limit', { tpm_limit: 1_001 }],
    ['max_parallel_requests', { max_parallel_requests: null }], ['models', { models: [] }], ['models', { models: null }], ['models', { models: ['chat', 'big'] }], ['models', { models: ['all-team-models'] }],
    ['models', { aliases: { chat: 'big' } }], ['duration', { duration: '-1' }], ['duration', { duration: null }], ['duration', { duration: '8d' }], ['budget_duration', { budget_duration: '1d' }],
    ['model_max_budget', { model_max_budget: {} }], ['model_max_budget', { model_max_budget: { chat: 2 } }], ['model_max_budget', { model_max_budget: { chat: { max_budget: 1, budget_duration: '1h' } } }],
    ['model_rpm_limit', { model_rpm_limit: null }], ['model_rpm_limit', { model_rpm_limit: { chat: 4 } }], ['allowed_routes', { allowed_routes: [] }],
  ];
  test.each(RAISED)('lifts no %s of its own key, nor of another, above its own: %j', async (field, change) => {
    for (const [path, body] of [['/key/update', { key: own }], ['/key/update', { key: company.member }], ['/key/regenerate', { key: own }]] as const) {
      const { status, body: reply } = await managed.post(path, { ...body, ...change }, own);
      expect([status, reply]).toEqual([403, { error: expect.objectContaining({ message: expect.stringContaining(`${field}: `) as string }) as unknown }]);
    }
    expect(managed.database.snapshot()).toBe(stored);
  });

  test.each(RAISED.filter(([, change]) => Object.values(change).every((value) => value !== null && (typeof value !== 'object' || Object.keys(value).length > 0))))('makes no key with more %s: %j', async (field, change) => {
    const { status, body } = await managed.post('/key/generate', { team_id: 'red', ...change }, own);
    // A shorter period of a budget that is not named: the budget is the own key's.
    expect([status, body]).toEqual([403, { error: expect.objectContaining({ message: expect.stringContaining(`${field}: `) as string }) as unknown }]);
    expect(managed.database.snapshot()).toBe(stored);
  });

  test('gets no secret of a key that may more, and does not take its own budget away', async () => {
    expect(await managed.post('/key/regenerate', { key: large }, own)).toMatchObject({ status: 403, body: { error: { message: expect.stringContaining('max_budget: 90 is above your own key') as string } } });
    expect(await managed.post('/key/update', { key: budgeted, budget_id: null }, budgeted)).toMatchObject({ status: 403, body: { error: { message: expect.stringContaining('budget_id: ') as string } } });
    expect(await managed.post('/key/generate', { team_id: 'red', max_budget: 1_000_001 }, budgeted)).toMatchObject({ status: 403 });
    expect(managed.database.snapshot()).toBe(stored);
  });

  test('makes keys with its own limits where it names none, may lower them, rotate its own key and change what is no right', async () => {
    await using other = await startManagedGateway();
    await foundCompany(other);
    await other.post('/team/update', { team_id: 'red', models: [] });
    const { body: mine } = await other.post('/key/generate', { team_id: 'red', user_id: 'ruth', max_budget: 5, budget_duration: '30d', rpm_limit: 10, models: ['chat', 'small-*'], duration: '7d' });
    const key = String(mine['key']);
    const { body: made } = await other.post('/key/generate', { team_id: 'red', user_id: 'mia' }, key);
    expect(made).toMatchObject({ max_budget: 5, budget_duration: '30d', rpm_limit: 10, tpm_limit: null, models: ['chat', 'small-*'], expires: mine['expires'] });
    expect((await other.post('/key/generate', { team_id: 'red', max_budget: 1, models: ['small-1'], duration: '1d' }, key)).body).toMatchObject({ max_budget: 1, budget_duration: null, models: ['small-1'] });
    expect((await other.post('/key/update', { key: made['key'], max_budget: 2, models: ['no-default-models'], metadata: { a: 1 } }, key)).status).toBe(200);
    expect((await other.post('/key/update', { key, key_alias: 'renamed', metadata: { a: 1 }, rpm_limit: 5 }, key)).body).toMatchObject({ key_alias: 'renamed', rpm_limit: 5, max_budget: 5 });
    expect((await other.post('/key/update', { key, rpm_limit: 10 }, key)).status).toBe(403);
    expect((await other.post('/key/regenerate', { key }, key)).status).toBe(200);
  });
});

test('routes of keys count against the rpm_limit of an ordinary key, whatever else it has used up; administrators are not counted', async () => {
  const limits = new CountedLimits({ shared: undefined, memory: createMemoryCounters({ clock: systemClock, maxEntries: 100 }), replicas: () => 1, degradedMode: () => { throw new Error('nothing is away'); }, clock: systemClock, replicaId: 'r', metrics: { limited: () => undefined } });
  await using managed = await startManagedGateway('', { limits });
  const { admin } = await foundCompany(managed);
  const { body: made } = await managed.post('/key/generate', { rpm_limit: 2, tpm_limit: 0, max_budget: 0, max_parallel_requests: 0 });
  const statuses: number[] = [];
  for (let call = 0; call < 3; call += 1) statuses.push((await managed.get('/key/info', String(made['key']))).status);
  expect(statuses).toEqual([200, 200, 429]);
  await managed.post('/user/update', { user_id: 'root', rpm_limit: 1 });
  for (let call = 0; call < 3; call += 1) expect((await managed.get('/key/list', admin)).status).toBe(200);
});

test('/key/info tells what was spent per model, and /model/info tells only administrators where deployments are', async () => {
  await using managed = await startManagedGateway(entry('based', 'b', 'api_base: "http://10.0.0.7:8000/v1"'));
  const { member, viewer, admin } = await foundCompany(managed);
  await managed.post('/team/update', { team_id: 'red', models: [] });
  managed.database.modelSpend = [{ scope: 'key', model: 'chat', spend: 1.5, period_start: null }, { scope: 'key', model: '__proto__', spend: 1, period_start: null }, { scope: 'team', model: 'chat', spend: 9, period_start: null }];
  const { body } = await managed.get('/key/info', member);
  expect(Object.entries((body['info'] as { model_spend: object }).model_spend)).toEqual([['chat', 1.5], ['__proto__', 1]]);
  for (const [key, shows] of [[member, false], [viewer, false], [admin, true]] as const) {
    const text = JSON.stringify((await managed.get('/model/info', key)).body);
    expect([text.includes('"based"'), text.includes('10.0.0.7')]).toEqual([true, shows]);
  }
});
