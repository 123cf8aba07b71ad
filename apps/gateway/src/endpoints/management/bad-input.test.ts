import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { foundCompany, startManagedGateway, type Company, type ManagedGateway } from './fake-database.fixture.ts';
import { managementRoutes } from './management-routes.ts';
import { MAX_MANAGEMENT_BODY_BYTES } from './management-route.ts';

/** Every route is asked again and again with something wrong; what is stored must not change. One gateway for all: nothing changes, so nothing leaks between tests. */
let managed: ManagedGateway;
let company: Company;
let stored = '';
beforeAll(async () => {
  managed = await startManagedGateway();
  company = await foundCompany(managed);
  stored = managed.database.snapshot();
});
afterAll(() => managed[Symbol.asyncDispose]());

const routes = managementRoutes.map((route) => ({ ...route, name: `${route.method.toUpperCase()} ${route.path}` }));
const posts = routes.filter(({ method }) => method === 'post');
const gets = routes.filter(({ method }) => method === 'get');

/** A body that each route would act on, over the company; `MEMBER` stands for a key of team red. */
const GOOD: Readonly<Record<string, object>> = {
  '/key/generate': { team_id: 'red' }, '/key/service-account/generate': { team_id: 'red' }, '/key/update': { key: 'MEMBER', rpm_limit: 1 }, '/key/delete': { keys: ['MEMBER'] },
  '/key/bulk_update': { keys: [{ key: 'MEMBER', max_budget: 1 }] }, '/key/block': { key: 'MEMBER' }, '/key/unblock': { key: 'MEMBER' }, '/key/regenerate': { key: 'MEMBER' },
  '/key/{key}/regenerate': {}, '/key/{key}/reset_spend': { reset_to: 0 },
  '/team/new': { team_id: 'new' }, '/team/update': { team_id: 'red', rpm_limit: 1 }, '/team/delete': { team_ids: ['red'] }, '/team/block': { team_id: 'red' }, '/team/unblock': { team_id: 'red' },
  '/team/member_add': { team_id: 'red', member: { user_id: 'new', role: 'admin' } }, '/team/member_delete': { team_id: 'red', user_id: 'mia' }, '/team/member_update': { team_id: 'red', user_id: 'mia', role: 'admin' },
  '/user/new': { user_id: 'new', user_role: 'proxy_admin' }, '/user/update': { user_id: 'mia', user_role: 'proxy_admin' }, '/user/delete': { user_ids: ['mia'] },
  '/budget/new': { budget_id: 'new' }, '/budget/update': { budget_id: 'large', max_budget: 1 }, '/budget/delete': { id: 'large' }, '/budget/info': { budgets: ['large'] },
  '/spend/calculate': { model: 'chat', messages: [] },
};

function goodBody(path: string): Record<string, unknown> {
  return JSON.parse(JSON.stringify(GOOD[path] ?? {}).replaceAll('MEMBER', company.member)) as Record<string, unknown>;
}

function address(path: string): string {
  return path.replace('{key}', company.member);
}

/** What each field is, said here once more and independently of the schemas: a field that is not named here fails the test that should know it. */
const KINDS: Readonly<Record<string, string>> = {
  number: 'max_budget soft_budget spend reset_to', integer: 'max_parallel_requests tpm_limit rpm_limit',
  duration: 'duration budget_duration grace_period',
  text: 'key key_alias user_id team_id budget_id new_key new_master_key id team_alias user_email user_alias model',
  choice: 'key_type user_role role', flag: 'blocked auto_create_key',
  texts: 'models tags allowed_routes keys key_aliases team_ids user_ids budgets teams',
  object: 'metadata permissions config', texted: 'aliases model_aliases', counted: 'model_rpm_limit model_tpm_limit', budgeted: 'model_max_budget',
  member: 'member', members: 'members_with_roles', turns: 'messages', reply: 'completion_response', updates: 'bulk',
};
const kindOf = new Map(Object.entries(KINDS).flatMap(([kind, fields]) => fields.split(' ').map((field) => [field, kind] as const)));

const UNFIT = ['nul\0byte', 'half \ud83d pair'];
const deep = (levels: number): unknown => (levels === 0 ? 1 : { deeper: deep(levels - 1) });
const WRONG: Readonly<Record<string, readonly unknown[]>> = {
  number: ['5', true, -0.01, [], {}, 1e300], integer: ['5', 1.5, -1, true, [], {}, 1e300],
  duration: [5, '5', '0s', '-3d', '1y', '1 d', '99999999999d', '1mo; DROP TABLE keys', true, {}],
  text: [5, true, '', [], {}, 'x'.repeat(513), ...UNFIT], choice: ['root', 5, '', [], ...UNFIT], flag: ['true', 1, [], {}],
  texts: ['chat', 5, {}, [5], [''], [null], [['a']], ['x'.repeat(513)], Array.from({ length: 1_001 }, () => 'a'), ...UNFIT.map((text) => [text])],
  object: ['{}', 5, [], ...UNFIT.map((text) => ({ text })), ...UNFIT.map((text) => ({ [text]: 1 })), { large: 'x'.repeat(66_000) }, deep(40)],
  texted: ['a', [], { a: 5 }, { a: {} }, { a: '' }], counted: ['a', [], { a: '5' }, { a: -1 }, { a: 1.5 }],
  budgeted: ['a', [], { a: -1 }, { a: 'much' }, { a: {} }, { a: { max_budget: '5' } }, { a: { max_budget: 5, budget_duration: 'soon' } }, { a: { max_budget: 5, unknown: 1 } }],
  member: ['mia', 5, [], {}, { role: 'root', user_id: 'x' }, { user_id: 5 }, [{ user_id: 'x', role: 'user', extra: 1 }]],
  members: ['mia', 5, {}, ['mia'], [{ role: 'boss' }]], turns: ['hi', 5, {}, ['hi'], [{}], [{ role: 5 }]], reply: ['x', 5, [], { usage: 5 }, { usage: { prompt_tokens: -1 } }],
  updates: ['x', {}, [], [5], [{}], [{ key: 'sk-x', max_budget: '5' }], [{ key: 'sk-x', surprise: 1 }]],
};

describe.each(posts)('$name', ({ path, fields, audience, reads }) => {
  test('a wrong type or value of any field is 400, names the field and changes nothing', async () => {
    for (const field of Object.keys(fields.schema.shape)) {
      const kind = path === '/key/bulk_update' && field === 'keys' ? 'updates' : kindOf.get(field);
      if (kind === undefined) throw new Error(`${path} has a field ${field} that this test does not know`);
      for (const wrong of WRONG[kind] ?? []) {
        const { status, body } = await managed.post(address(path), { ...goodBody(path), [field]: wrong });
        const { error } = body as { error?: { message: string; param: string; type: string } };
        expect([status, error?.param.startsWith(field), error?.message.includes(field), error?.type], `${field}: ${JSON.stringify(wrong).slice(0, 60)} ${JSON.stringify(body).slice(0, 200)}`).toEqual([400, true, true, 'invalid_request_error']);
      }
    }
    expect(managed.database.snapshot()).toBe(stored);
  });

  test('an unknown field is 400 with the nearest known one', async () => {
    const [known = ''] = Object.keys(fields.schema.shape);
    const { status, body } = await managed.post(address(path), { ...goodBody(path), [`${known}x`]: 1 });
    expect([status, body]).toEqual([400, { error: expect.objectContaining({ param: `${known}x`, code: 'unknown_parameter', message: expect.stringContaining(`Did you mean '${known}'?`) as string }) as unknown }]);
    expect(managed.database.snapshot()).toBe(stored);
  });

  test.each([['broken JSON', '{"key": '], ['a list', '[]'], ['a text', '"x"'], ['null', 'null'], ['__proto__', '{"metadata": {"__proto__": {"role": "admin"}}}'], ['100 levels', `${'{"a":'.repeat(100)}1${'}'.repeat(100)}`]])('%s is 400 and changes nothing', async (_name, text) => {
    expect((await managed.post(address(path), text)).status).toBe(400);
    expect(managed.database.snapshot()).toBe(stored);
    expect(({} as Record<string, unknown>)['role']).toBeUndefined();
  });

  test('a body over 1 MB is 413', async () => {
    const { status, body } = await managed.post(address(path), { ...goodBody(path), metadata: { large: 'x'.repeat(MAX_MANAGEMENT_BODY_BYTES) } });
    expect([status, body]).toEqual([413, { error: expect.objectContaining({ code: 'request_too_large' }) as unknown }]);
    expect(managed.database.snapshot()).toBe(stored);
  });

  test('without a key 401; an ordinary key, another team\'s and a viewer\'s are refused, audited, and nothing changes', async () => {
    expect((await managed.post(address(path), goodBody(path), '')).status).toBe(401);
    expect((await managed.post(address(path), goodBody(path), 'sk-nobody-has-this-key')).status).toBe(401);
    const callers = reads ? (audience === 'anyone' ? [] : [company.member, company.blue, company.lone]) : [company.member, company.blue, company.lone, company.viewer];
    for (const key of callers) {
      const heard = managed.audited.length;
      expect(await managed.post(address(path), goodBody(path), key)).toMatchObject({ status: 403, body: { error: { code: '403', type: 'permission_error' } } });
      expect(managed.audited.slice(heard)).toEqual([expect.objectContaining({ action: 'denied', actor: expect.stringMatching(/^key:/) as string, reason: 'route_denied' })]);
    }
    expect(managed.database.snapshot()).toBe(stored);
  });
});

/** Routes that point at something: what is not there is 404. */
const UNKNOWN: readonly (readonly [string, object])[] = [
  ['/key/update', { key: 'sk-nobody-has-this-key' }], ['/key/update', { key: '0'.repeat(64) }], ['/key/delete', { keys: ['sk-nobody-has-this-key'] }], ['/key/delete', { key_aliases: ['nope'] }],
  ['/key/block', { key: 'nope' }], ['/key/unblock', { key: 'nope' }], ['/key/regenerate', { key: 'nope' }], ['/key/nope/regenerate', {}], ['/key/nope/reset_spend', { reset_to: 0 }],
  ['/key/generate', { team_id: 'nope' }], ['/key/generate', { budget_id: 'nope' }], ['/key/update', { key: 'MEMBER', team_id: 'nope' }], ['/key/update', { key: 'MEMBER', budget_id: 'nope' }], ['/key/service-account/generate', { team_id: 'nope' }],
  ['/team/update', { team_id: 'nope' }], ['/team/delete', { team_ids: ['red', 'nope'] }], ['/team/block', { team_id: 'nope' }], ['/team/unblock', { team_id: 'nope' }],
  ['/team/member_add', { team_id: 'nope', member: { role: 'user', user_id: 'x' } }], ['/team/member_delete', { team_id: 'red', user_id: 'nope' }], ['/team/member_update', { team_id: 'red', user_id: 'nope', role: 'admin' }],
  ['/user/new', { teams: ['nope'] }], ['/user/update', { user_id: 'nope' }], ['/user/update', { user_email: 'nope@x' }], ['/user/delete', { user_ids: ['mia', 'nope'] }],
  ['/budget/update', { budget_id: 'nope' }], ['/budget/delete', { id: 'nope' }], ['/budget/info', { budgets: ['large', 'nope'] }],
];
test.each(UNKNOWN)('unknown ids are 404 and change nothing: %s %j', async (path, body) => {
  const { status, body: reply } = await managed.post(path, JSON.stringify(body).replaceAll('MEMBER', company.member));
  expect([status, reply]).toEqual([404, { error: expect.objectContaining({ code: '404', message: expect.stringMatching(/not found/i) as string }) as unknown }]);
  expect(managed.database.snapshot()).toBe(stored);
});

test.each([['/key/delete', {}], ['/key/update', {}], ['/key/regenerate', {}], ['/team/update', {}], ['/team/member_add', { team_id: 'red' }], ['/team/member_delete', { team_id: 'red' }], ['/user/update', {}], ['/user/delete', {}], ['/budget/delete', {}], ['/budget/update', {}], ['/team/new', { members_with_roles: [{ role: 'user' }] }], ['/key/bulk_update', {}], ['/spend/calculate', {}]])('what is missing is named: %s %j', async (path, body) => {
  const { status, body: reply } = await managed.post(path, body);
  expect([status, reply]).toEqual([400, { error: expect.objectContaining({ code: 'missing_required_parameter' }) as unknown }]);
  expect(managed.database.snapshot()).toBe(stored);
});

const SQL = ["'; DROP TABLE pointsman.virtual_keys; --", "' OR '1'='1", '1; SELECT pg_sleep(10)', "\\'; --", '$1', '%'];

describe.each(SQL)('SQL in every text is data: %s', (text) => {
  test('a text that points at something finds nothing', async () => {
    for (const [path, fields] of [
      ['/key/update', { key: text }], ['/key/delete', { keys: [text] }], ['/key/delete', { key_aliases: [text] }], ['/key/block', { key: text }], ['/key/unblock', { key: text }], ['/key/regenerate', { key: text }],
      [`/key/${encodeURIComponent(text)}/regenerate`, {}], [`/key/${encodeURIComponent(text)}/reset_spend`, { reset_to: 0 }], ['/key/generate', { team_id: text }], ['/key/generate', { budget_id: text }],
      ['/team/update', { team_id: text }], ['/team/delete', { team_ids: [text] }], ['/team/block', { team_id: text }], ['/team/unblock', { team_id: text }], ['/team/member_add', { team_id: text, member: { user_id: text, role: 'user' } }],
      ['/team/member_delete', { team_id: 'red', user_id: text }], ['/team/member_update', { team_id: 'red', user_id: text, role: 'user' }], ['/user/update', { user_id: text }], ['/user/update', { user_email: text }], ['/user/delete', { user_ids: [text] }],
      ['/user/new', { teams: [text] }], ['/budget/update', { budget_id: text }], ['/budget/delete', { id: text }], ['/budget/info', { budgets: [text] }],
    ] as const) expect((await managed.post(path, fields)).status, path).toBe(404);
    for (const path of ['/key/info?key=', '/team/info?team_id=', '/user/info?user_id=', '/budget/info?budget_id=', '/budget/settings?budget_id=']) expect((await managed.get(path + encodeURIComponent(text))).status, path).toBe(404);
    for (const path of ['/key/list?user_id=', '/key/list?team_id=', '/key/list?key_alias=', '/key/list?key_hash=']) expect((await managed.get(path + encodeURIComponent(text))).body, path).toMatchObject({ keys: [], total_count: 0 });
    for (const path of ['/spend/logs?api_key=', '/spend/logs?user_id=', '/spend/logs?team_id=', '/spend/logs?request_id=', '/spend/users?user_id=', '/team/list?user_id=', '/team/list?team_alias=']) expect((await managed.get(path + encodeURIComponent(text))).body, path).toEqual([]);
    expect((await managed.get(`/user/list?user_email=${encodeURIComponent(text)}`)).body).toMatchObject({ users: [], total: 0 });
    expect(managed.database.snapshot()).toBe(stored);
  });

  test('a text that is stored comes back as it was', async () => {
    await using other = await startManagedGateway();
    const { body: key } = await other.post('/key/generate', { key_alias: text, user_id: text, models: [text], tags: [text], metadata: { [text]: text }, aliases: { [text]: text }, allowed_routes: [text] });
    expect(key).toMatchObject({ key_alias: text, user_id: text, models: [text], tags: [text], metadata: { [text]: text }, aliases: { [text]: text }, allowed_routes: [text] });
    expect((await other.post('/team/new', { team_id: text, team_alias: text, models: [text] })).body).toMatchObject({ team_id: text, team_alias: text, models: [text] });
    expect((await other.post('/user/new', { user_id: text, user_email: text, teams: [text] })).body).toMatchObject({ user_id: text, user_email: text, teams: [text] });
    expect((await other.post('/budget/new', { budget_id: text })).body).toMatchObject({ budget_id: text });
  });
});

const WRONG_QUERY: Readonly<Record<string, readonly string[]>> = {
  page: ['0', '-1', '1.5', 'x', '99999999999'], size: ['0', '501', 'x'], page_size: ['0', '501', 'x'], limit: ['0', '501'], return_full_object: ['yes', '2'], summarize: ['maybe'],
  start_date: ['yesterday', '2026-02-31', '2026-13-01', '20260101'], end_date: ['x', '2026-01-01T25:00:00'], role: ['root'],
};

describe.each(gets)('$name', ({ path, fields, audience }) => {
  test('a wrong parameter is 400 and names it; so is one given twice and an unknown one', async () => {
    const filled = path.startsWith('/budget/info') || path.startsWith('/budget/settings') ? 'budget_id=large&' : '';
    for (const field of Object.keys(fields.schema.shape)) {
      const given = field === 'budget_id' ? '' : filled;
      for (const wrong of WRONG_QUERY[field] ?? ['x'.repeat(513), 'a\0b']) {
        const { status, body } = await managed.get(`${path}?${given}${field}=${encodeURIComponent(wrong)}`);
        expect([status, body], `${field}=${wrong.slice(0, 20)}`).toEqual([400, { error: expect.objectContaining({ param: field }) as unknown }]);
      }
      expect((await managed.get(`${path}?${given}${field}=a&${field}=b`)).body).toMatchObject({ error: { param: field } });
    }
    expect(await managed.get(`${path}?${filled}surprise=1`)).toMatchObject({ status: 400, body: { error: { param: 'surprise' } } });
  });

  test('who may not ask hears 401 or 403', async () => {
    expect((await managed.get(path, '')).status).toBe(401);
    if (audience === 'anyone') return;
    for (const key of [company.member, company.blue, company.lone]) expect((await managed.get(path, key)).status).toBe(403);
  });

  test('a viewer sees what an admin sees', async () => {
    const query = path.startsWith('/budget/info') || path.startsWith('/budget/settings') ? '?budget_id=large' : path === '/team/info' ? '?team_id=red' : path === '/user/info' ? '?user_id=mia' : path === '/key/info' ? `?key=${company.member}` : '';
    const [seen, whole] = [await managed.get(path + query, company.viewer), await managed.get(path + query, company.admin)];
    expect([seen.status, seen.body]).toEqual([200, whole.body]);
    expect(managed.database.snapshot()).toBe(stored);
  });
});

test.each(['/customer/new', '/end_user/info', '/organization/new'])('what LiteLLM has and this gateway has not is said plainly: %s', async (path) => {
  expect(await managed.post(path, {})).toMatchObject({ status: 501, body: { error: { code: 'not_supported' } } });
});

test('the wrong method on an admin path is 405', async () => {
  expect(await managed.get('/key/generate')).toMatchObject({ status: 405 });
  expect(await managed.post('/key/list', {})).toMatchObject({ status: 405 });
});

test('the API document lists every admin route with its fields', async () => {
  const { body } = await managed.get('/openapi.json');
  const paths = body['paths'] as Record<string, Record<string, { parameters?: { name: string; in: string }[]; requestBody?: { content: { 'application/json': { schema: { properties: object } } } } }>>;
  for (const { method, path, fields } of managementRoutes) {
    const operation = paths[path]?.[method];
    const documented = method === 'get' ? (operation?.parameters ?? []).filter((parameter) => parameter.in === 'query').map(({ name }) => name) : Object.keys(operation?.requestBody?.content['application/json'].schema.properties ?? {});
    expect(documented, `${method} ${path}`).toEqual(Object.keys(fields.schema.shape));
  }
  expect(paths['/key/{key}/regenerate']?.['post']?.parameters).toEqual([expect.objectContaining({ name: 'key', in: 'path' })]);
});
