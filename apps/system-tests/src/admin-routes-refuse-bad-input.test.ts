import { startPostgres, type RunningPostgres } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MASTER_KEY, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';
import { admin, createKey, untilDatabase } from './shared-state.ts';

let postgres: RunningPostgres;
let gateway: GatewayUnderTest;
/** Of a key of team `ours`, by an ordinary member. */
let ordinary: string;
/** Of a key of team `theirs`. */
let foreign: string;
let document: ApiDocument;

interface Schema {
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly required?: readonly string[];
  readonly $ref?: string;
}
interface Operation {
  readonly requestBody?: { readonly content: { readonly 'application/json': { readonly schema: Schema } } };
}
interface ApiDocument {
  readonly paths: Readonly<Record<string, { readonly post?: Operation; readonly get?: Operation }>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> };
}

const SQL = "x'); DROP TABLE pointsman.virtual_keys; --";
const MANAGED = /^\/(key|team|user|budget)\//;

beforeAll(async () => {
  postgres = await startPostgres();
  gateway = await startGatewayUnderTest({ config: { model_list: [{ model_name: 'm', litellm_params: { model: 'simulated/swift' } }] }, env: { DATABASE_URL: postgres.url } });
  await untilDatabase(gateway);
  for (const [path, body] of [['/team/new', { team_id: 'ours' }], ['/team/new', { team_id: 'theirs' }], ['/user/new', { user_id: 'somebody', auto_create_key: false }], ['/budget/new', { budget_id: 'small', max_budget: 1 }]] as const) {
    expect(await admin(gateway, path, body)).toMatchObject({ status: 200 });
  }
  [ordinary, foreign] = [await createKey(gateway, { team_id: 'ours' }), await createKey(gateway, { team_id: 'theirs' })];
  document = (await admin(gateway, '/openapi.json')).body as ApiDocument;
}, 120_000);

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

/** Every row of every table that an admin route may change. */
async function everything(): Promise<string> {
  const tables = ['virtual_keys', 'teams', 'users', 'budgets', 'key_grace'];
  const [[digest = ''] = []] = await postgres.sql(`select md5(concat_ws('/', ${tables.map((table) => `(select string_agg(t::text, '|' order by t::text) from pointsman.${table} t)`).join(', ')}))`);
  return digest;
}

function postRoutes(): { readonly path: string; readonly fields: readonly string[] }[] {
  return Object.entries(document.paths).flatMap(([path, { post }]) => {
    const schema = post?.requestBody?.content['application/json'].schema;
    if (!MANAGED.test(path) || schema === undefined) return [];
    const whole = schema.$ref === undefined ? schema : document.components?.schemas?.[schema.$ref.split('/').at(-1) ?? ''];
    return [{ path: path.replaceAll(/\{[^}]+\}/g, 'sk-not-there-0000000'), fields: Object.keys(whole?.properties ?? {}) }];
  });
}

async function send(path: string, body: object, key = MASTER_KEY): Promise<{ readonly status: number; readonly text: string }> {
  const response = await gateway.post(path, body, { headers: { authorization: `Bearer ${key}` } });
  return { status: response.status, text: await response.text() };
}

test('a value of the wrong kind in any field of any route is a 4xx in our words, and changes nothing', async () => {
  const routes = postRoutes();
  expect(routes.length).toBeGreaterThan(15);
  const before = await everything();
  for (const { path, fields } of routes) {
    for (const field of fields) {
      // An object with a function's name in it is no text, no number, no list, and no map of what these fields hold.
      const { status, text } = await send(path, { [field]: { constructor: [{}], nested: { '__proto__': 1 } }, nobody_knows_this_field: 1 });
      expect(status, `${path} ${field}: ${text}`).toBeGreaterThanOrEqual(400);
      expect(status, `${path} ${field}: ${text}`).toBeLessThan(500);
      expect(JSON.parse(text), `${path} ${field}`).toMatchObject({ error: { message: expect.any(String) } });
    }
  }
  expect(await everything()).toBe(before);
}, 120_000);

const BY_ID: readonly (readonly [string, (id: string) => object])[] = [
  ['/key/update', (id) => ({ key: id, max_budget: 1 })], ['/key/delete', (id) => ({ keys: [id] })], ['/key/block', (id) => ({ key: id })], ['/key/unblock', (id) => ({ key: id })],
  ['/key/regenerate', (id) => ({ key: id })], ['/team/update', (id) => ({ team_id: id, max_budget: 1 })], ['/team/delete', (id) => ({ team_ids: [id] })],
  ['/team/block', (id) => ({ team_id: id })], ['/team/member_add', (id) => ({ team_id: id, member: { user_id: 'somebody', role: 'user' } })],
  ['/user/update', (id) => ({ user_id: id, max_budget: 1 })], ['/user/delete', (id) => ({ user_ids: [id] })], ['/budget/update', (id) => ({ budget_id: id, max_budget: 2 })], ['/budget/delete', (id) => ({ id })],
];

test.each(BY_ID)('%s of something that is not there, with SQL in its name, is a 4xx and changes nothing', async (path, body) => {
  const before = await everything();
  for (const id of [SQL, 'nobody', `${'x'.repeat(5_000)}`, '\u0000', '../../etc/passwd']) {
    const { status, text } = await send(path, body(id));
    // LiteLLM's `/user/update` and `/team/delete` of unknown names are errors here too.
    expect(status, text).toBeGreaterThanOrEqual(400);
    expect(status, text).toBeLessThan(500);
  }
  expect(await everything()).toBe(before);
});

test.each(BY_ID)('%s of another team, user or budget by an ordinary key is refused and changes nothing', async (path, body) => {
  const before = await everything();
  const target = path.startsWith('/key/') ? foreign : path.startsWith('/team/') ? 'theirs' : path.startsWith('/user/') ? 'somebody' : 'small';
  const { status, text } = await send(path, body(target), ordinary);
  expect([401, 403, 404], text).toContain(status);
  expect(await everything()).toBe(before);
});

test('SQL in a text that may hold anything is only text', async () => {
  const { status, text } = await send('/key/generate', { metadata: { note: SQL }, tags: [SQL] });
  expect(status, text).toBe(200);
  expect(await postgres.sql('select count(*) > 2 from pointsman.virtual_keys')).toEqual([['t']]);
  expect((await admin(gateway, `/key/list?user_id=${encodeURIComponent(SQL)}`)).status).toBeLessThan(500);
  expect((await admin(gateway, `/spend/logs?api_key=${encodeURIComponent(SQL)}`)).status).toBeLessThan(500);
});
