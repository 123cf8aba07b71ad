import { expect, test } from 'vitest';
import { TEST_KEY } from '../../fake-gateway.fixture.ts';
import { foundCompany, startManagedGateway } from './fake-database.fixture.ts';
import { hashOfKey } from './key-rows.ts';

test('a key is shown once, and only its hash is stored', async () => {
  await using managed = await startManagedGateway();
  const { status, body, headers } = await managed.post('/key/generate', { key_alias: 'mine', models: ['chat'], max_budget: 5, duration: '1h', budget_duration: '1d', metadata: { team: 'x' }, tags: ['t'], model_max_budget: { chat: { budget_limit: '0.5', time_period: '1d' }, other: 3 } });
  expect(status).toBe(200);
  const key = String(body['key']);
  expect(key).toMatch(/^sk-[\w-]{43}$/);
  expect(body).toMatchObject({ token: hashOfKey(key), token_id: hashOfKey(key), key_name: `sk-...${key.slice(-4)}`, key_alias: 'mine', max_budget: 5, spend: 0, models: ['chat'], key_type: 'default', created_by: 'default_user_id' });
  expect(body['model_max_budget']).toEqual({ chat: { max_budget: 0.5, budget_duration: '1d' }, other: { max_budget: 3, budget_duration: null } });
  expect(Math.abs(Date.parse(String(body['expires'])) - Date.now() - 3_600_000)).toBeLessThan(60_000);
  expect(Date.parse(String(body['budget_reset_at']))).toBeGreaterThan(Date.now());
  expect(headers.get('cache-control')).toBe('no-store');
  expect(managed.database.snapshot()).not.toContain(key);
  expect(JSON.stringify(managed.audited)).not.toContain(key);
  expect(managed.audited).toEqual([expect.objectContaining({ actor: 'master', action: 'key.create', resource: `key:${hashOfKey(key)}`, after: expect.objectContaining({ max_budget: 5 }) as unknown })]);
  expect(managed.changed).toEqual([[hashOfKey(key)]]);
  expect(JSON.stringify((await managed.get(`/key/info?key=${hashOfKey(key)}`)).body)).not.toContain(key);
});

test('a new key works at once and tells about itself', async () => {
  await using managed = await startManagedGateway();
  const { body } = await managed.post('/key/generate', {});
  const own = await managed.get('/key/info', String(body['key']));
  expect(own).toMatchObject({ status: 200, body: { key: body['token'], info: { key_name: body['key_name'], spend: 0, models: [] } } });
  expect(own.body['info']).not.toHaveProperty('token');
});

test.each([
  ['sk-short', 'sk-'], ['no-prefix-but-long-enough', 'sk-'], [`sk-${'x'.repeat(600)}`, '512'], ['sk-with space in the middle', 'sk-'], [TEST_KEY, 'already exists'],
])('a chosen key is refused when it is weak, odd or taken: %s', async (key, words) => {
  await using managed = await startManagedGateway();
  const { status, body } = await managed.post('/key/generate', { key });
  expect([status, body]).toEqual([400, { error: expect.objectContaining({ param: 'key', message: expect.stringContaining(words) as string }) as unknown }]);
  expect(managed.database.keys.size).toBe(0);
});

test('a chosen key is taken as it is, once; an alias too', async () => {
  await using managed = await startManagedGateway();
  expect((await managed.post('/key/generate', { key: 'sk-chosen-by-me-1234', key_alias: 'a' })).body['key']).toBe('sk-chosen-by-me-1234');
  expect((await managed.post('/key/generate', { key: 'sk-chosen-by-me-1234' })).body).toMatchObject({ error: { param: 'key', code: '400' } });
  expect((await managed.post('/key/generate', { key_alias: 'a' })).body).toMatchObject({ error: { param: 'key_alias', message: expect.stringContaining("'a' already exists") as string } });
  expect(managed.database.keys.size).toBe(1);
});

test('an update changes what is named, null takes away, and the audit shows before and after without secrets', async () => {
  await using managed = await startManagedGateway();
  const { body: made } = await managed.post('/key/generate', { max_budget: 5, rpm_limit: 10, budget_duration: '1d', metadata: { logging: { secret_key: 'sk-lf-1234567' } } });
  const { status, body } = await managed.post('/key/update', { key: made['key'], max_budget: null, budget_duration: null, tpm_limit: 7, models: ['chat'] });
  expect([status, body]).toEqual([200, expect.objectContaining({ key: made['key'], max_budget: null, budget_duration: null, budget_reset_at: null, tpm_limit: 7, rpm_limit: 10, models: ['chat'] })]);
  expect(managed.audited.at(-1)).toMatchObject({ action: 'key.update', before: { max_budget: 5, tpm_limit: null }, after: { max_budget: null, tpm_limit: 7 } });
  expect(managed.audited.at(-1)?.after).not.toHaveProperty('rpm_limit');
  expect(managed.changed.at(-1)).toEqual([made['token']]);
  expect((await managed.post('/key/update', { key: made['token'], duration: '-1', blocked: null })).body).toMatchObject({ expires: null, blocked: false });
  await managed.post('/key/delete', { keys: [made['key']] });
  expect(managed.audited.at(-1)).toMatchObject({ action: 'key.delete', before: { tpm_limit: 7 } });
  expect(JSON.stringify(managed.audited)).not.toContain('sk-lf-1234567');
});

test('a rotated key works with its new secret, the old one as long as the grace period says', async () => {
  await using managed = await startManagedGateway();
  const { body: made } = await managed.post('/key/generate', { key_alias: 'rotating', max_budget: 5 });
  const old = String(made['key']);
  const { status, body } = await managed.post('/key/regenerate', { key: old, grace_period: '1h', max_budget: 7 });
  expect([status, body]).toEqual([200, expect.objectContaining({ key_alias: 'rotating', max_budget: 7, key: expect.stringMatching(/^sk-/) as string })]);
  expect(body['key']).not.toBe(old);
  expect(body['token']).toBe(hashOfKey(String(body['key'])));
  for (const key of [old, String(body['key'])]) expect((await managed.get('/key/info', key)).status).toBe(200);
  expect(managed.changed.at(-1)).toEqual([made['token'], body['token']]);
  const again = await managed.post(`/key/${String(body['token'])}/regenerate`, {});
  expect(again.status).toBe(200);
  expect((await managed.get('/key/info', String(body['key']))).status).toBe(401);
  // An old secret that still works is nobody else's new key.
  expect((await managed.post('/key/generate', { key: old })).status).toBe(400);
  expect((await managed.post('/key/generate', { key: String(again.body['key']) })).status).toBe(400);
});

test('deleting is all or nothing', async () => {
  await using managed = await startManagedGateway();
  const { body: a } = await managed.post('/key/generate', { key_alias: 'a' });
  const { body: b } = await managed.post('/key/generate', { key_alias: 'b' });
  const before = managed.database.snapshot();
  expect((await managed.post('/key/delete', { keys: [a['key'], 'sk-nobody-has-this-key'] })).status).toBe(404);
  expect(managed.database.snapshot()).toBe(before);
  expect((await managed.post('/key/delete', { keys: [a['key']], key_aliases: ['b'] })).body).toEqual({ deleted_keys: [a['key'], 'b'] });
  expect(managed.database.keys.size).toBe(0);
  expect(managed.changed.at(-1)).toEqual([a['token'], b['token']]);
  expect((await managed.get('/key/info', String(a['key']))).status).toBe(401);
});

test('a blocked key is refused until it is unblocked', async () => {
  await using managed = await startManagedGateway();
  const { body: made } = await managed.post('/key/generate', {});
  expect((await managed.post('/key/block', { key: made['key'] })).body).toMatchObject({ token: made['token'], blocked: true });
  expect((await managed.get('/key/info', String(made['key']))).status).toBe(401);
  expect((await managed.post('/key/unblock', { key: made['token'] })).body).toMatchObject({ blocked: false });
  expect((await managed.get('/key/info', String(made['key']))).status).toBe(200);
  expect(managed.audited.map(({ action }) => action).filter((action) => action !== 'denied')).toEqual(['key.create', 'key.block', 'key.unblock']);
});

test('lists have pages and filters, whole objects only when asked', async () => {
  await using managed = await startManagedGateway();
  for (let index = 0; index < 12; index += 1) await managed.post('/key/generate', { user_id: index < 3 ? 'u' : 'v' });
  expect((await managed.get('/key/list')).body).toMatchObject({ total_count: 12, current_page: 1, total_pages: 2, keys: expect.arrayContaining([expect.stringMatching(/^[0-9a-f]{64}$/)]) as unknown });
  expect((await managed.get('/key/list?page=2&size=10')).body['keys']).toHaveLength(2);
  const { body } = await managed.get('/key/list?user_id=u&return_full_object=true');
  expect(body['keys']).toEqual([1, 2, 3].map(() => expect.objectContaining({ user_id: 'u', key_name: expect.stringMatching(/^sk-\.\.\./) as string }) as unknown));
});

test('default_key_generate_params fill what is open; upperbound_key_generate_params hold the rest', async () => {
  await using managed = await startManagedGateway(`litellm_settings:
  default_key_generate_params: { max_budget: 2, models: [chat], metadata: { from: config } }
  upperbound_key_generate_params: { max_budget: 10, rpm_limit: 100, duration: 30d }
`);
  const { body: made } = await managed.post('/key/generate', {});
  expect(made).toMatchObject({ max_budget: 2, models: ['chat'], metadata: { from: 'config' }, rpm_limit: 100, duration: '30d' });
  expect((await managed.post('/key/generate', { models: ['other'], max_budget: 9, duration: '7d' })).body).toMatchObject({ models: ['other'], max_budget: 9, duration: '7d' });
  for (const body of [{ max_budget: 11 }, { rpm_limit: 101 }, { duration: '31d' }]) {
    const { status, body: reply } = await managed.post('/key/generate', body);
    expect([status, JSON.stringify(reply)]).toEqual([400, expect.stringContaining('is over max limit set in config')]);
  }
  expect((await managed.post('/key/update', { key: made['key'], max_budget: 11 })).status).toBe(400);
  expect((await managed.post('/key/update', { key: made['key'], max_budget: null, duration: '-1' })).body).toMatchObject({ max_budget: 10, expires: expect.any(String) as string });
});

test('spend is set back to a lower amount, never up', async () => {
  await using managed = await startManagedGateway();
  const { body: made } = await managed.post('/key/generate', { spend: 4 });
  expect((await managed.post(`/key/${String(made['token'])}/reset_spend`, { reset_to: 5 })).status).toBe(400);
  expect((await managed.post(`/key/${String(made['token'])}/reset_spend`, { reset_to: 1 })).body).toMatchObject({ key_hash: made['token'], spend: 1, previous_spend: 4 });
  expect(managed.audited.at(-1)).toMatchObject({ action: 'key.reset_spend', before: { spend: 4 }, after: { spend: 1 } });
});

test('a service account is a key of a team and of no user; several keys change in one call', async () => {
  await using managed = await startManagedGateway();
  await foundCompany(managed);
  const { body: made } = await managed.post('/key/service-account/generate', { team_id: 'blue', key_alias: 'ci' });
  expect(made).toMatchObject({ team_id: 'blue', user_id: null, metadata: { service_account_id: 'ci' } });
  expect((await managed.post('/key/bulk_update', { keys: [{ key: made['key'], max_budget: 3 }, { key: 'sk-nobody-has-this-key', max_budget: 3 }] })).body)
    .toMatchObject({ total_requested: 2, successful_updates: [{ key: made['key'] }], failed_updates: [{ failed_reason: 'Key not found in database.' }] });
  expect(managed.database.keys.get(String(made['token']))?.max_budget).toBe(3);
});

test('key_type becomes routes, and a key without management routes manages nothing, whoever owns it', async () => {
  await using managed = await startManagedGateway();
  await foundCompany(managed);
  const { body: made } = await managed.post('/key/generate', { user_id: 'root', key_type: 'llm_api' });
  expect(made).toMatchObject({ allowed_routes: ['llm_api_routes'], key_type: 'llm_api' });
  expect((await managed.post('/key/generate', {}, String(made['key']))).status).toBe(403);
  const { body: reader } = await managed.post('/key/generate', { user_id: 'root', key_type: 'read_only' });
  expect((await managed.get('/key/list', String(reader['key']))).status).toBe(200);
  expect((await managed.post('/key/block', { key: made['key'] }, String(reader['key']))).status).toBe(403);
});

test('fields that LiteLLM acts on and this gateway does not are accepted, and the reply says so', async () => {
  await using managed = await startManagedGateway();
  const { status, headers } = await managed.post('/key/generate', { guardrails: ['pii'], enforced_params: [] });
  expect([status, headers.get('x-pointsman-ignored-fields')]).toEqual([200, 'guardrails, enforced_params']);
});

test('without a database, and while it is away, nothing is made and the reply says why', async () => {
  await using managed = await startManagedGateway();
  managed.state = 'none';
  expect(await managed.post('/key/generate', {})).toMatchObject({ status: 400, body: { error: { message: 'No connected db.', type: 'no_db_connection', code: '400' } } });
  managed.state = 'away';
  expect(await managed.post('/key/generate', {})).toMatchObject({ status: 503, body: { error: { code: 'database_unavailable' } } });
  expect([managed.audited, managed.changed]).toEqual([[], []]);
});
