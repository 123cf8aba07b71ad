import { expect, test } from 'vitest';
import { foundCompany, startManagedGateway } from './fake-database.fixture.ts';

test('a team is made, changed, shown, blocked and deleted with its keys', async () => {
  await using managed = await startManagedGateway();
  const { body: made } = await managed.post('/team/new', { team_alias: 'Red', max_budget: 10, budget_duration: '1mo', models: ['chat'], model_aliases: { fast: 'chat' }, metadata: { a: 1 } });
  expect(made).toMatchObject({ team_id: expect.any(String) as string, team_alias: 'Red', max_budget: 10, spend: 0, blocked: false, models: ['chat'], aliases: { fast: 'chat' }, members_with_roles: [] });
  expect(Date.parse(String(made['budget_reset_at']))).toBeGreaterThan(Date.now());
  const id = String(made['team_id']);
  expect((await managed.post('/team/new', { team_id: id })).body).toMatchObject({ error: { code: '400', message: expect.stringContaining('already exists') as string } });
  expect((await managed.post('/team/update', { team_id: id, max_budget: null, rpm_limit: 5 })).body).toMatchObject({ team_id: id, data: { max_budget: null, rpm_limit: 5, team_alias: 'Red' } });
  const { body: key } = await managed.post('/key/generate', { team_id: id });
  expect((await managed.get(`/team/info?team_id=${id}`)).body).toMatchObject({ team_id: id, team_info: { rpm_limit: 5 }, keys: [{ key_name: key['key_name'] }], team_memberships: [] });
  expect((await managed.get('/team/list')).body).toEqual([expect.objectContaining({ team_id: id })]);
  expect((await managed.post('/team/block', { team_id: id })).body).toMatchObject({ blocked: true });
  expect((await managed.post('/team/unblock', { team_id: id })).body).toMatchObject({ blocked: false });
  expect((await managed.post('/team/delete', { team_ids: [id] })).body).toEqual({ deleted_teams: [id] });
  expect([managed.database.teams.size, managed.database.keys.size]).toEqual([0, 0]);
  expect(managed.audited.filter(({ action }) => action !== 'denied').map(({ action }) => action)).toEqual(['team.create', 'team.update', 'key.create', 'team.block', 'team.unblock', 'team.delete', 'key.delete']);
  expect(managed.changed.at(-1)).toBeUndefined();
});

test('members come with their users, once, and go without a trace', async () => {
  await using managed = await startManagedGateway();
  await managed.post('/team/new', { team_id: 't' });
  await managed.post('/user/new', { user_id: 'anna', user_email: 'anna@x', auto_create_key: false });
  const { body } = await managed.post('/team/member_add', { team_id: 't', member: [{ role: 'admin', user_email: 'anna@x' }, { role: 'user', user_id: 'new' }] });
  expect(body).toMatchObject({ members_with_roles: [{ user_id: 'anna', role: 'admin' }, { user_id: 'new', role: 'user' }], updated_users: [{ user_id: 'anna' }, { user_id: 'new' }] });
  expect([managed.database.users.get('anna')?.teams, managed.database.users.get('new')?.teams]).toEqual([['t'], ['t']]);
  expect((await managed.post('/team/member_add', { team_id: 't', member: { role: 'user', user_id: 'anna' } })).body).toMatchObject({ error: { type: 'team_member_already_in_team' } });
  expect((await managed.post('/team/member_update', { team_id: 't', user_id: 'new', role: 'admin' })).body).toMatchObject({ team_id: 't', user_id: 'new', role: 'admin' });
  expect((await managed.get('/team/list?user_id=new')).body).toHaveLength(1);
  expect((await managed.post('/team/member_delete', { team_id: 't', user_email: 'anna@x' })).body).toMatchObject({ members_with_roles: [{ user_id: 'new' }] });
  expect(managed.database.users.get('anna')?.teams).toEqual([]);
  await managed.post('/team/delete', { team_ids: ['t'] });
  expect(managed.database.users.get('new')?.teams).toEqual([]);
});

test('of many members who come at the same moment none is lost, and one who comes twice is refused once', async () => {
  await using managed = await startManagedGateway();
  await managed.post('/team/new', { team_id: 't', members_with_roles: [{ user_id: 'gone', role: 'user' }] });
  const names = Array.from({ length: 8 }, (_, index) => `m${index}`);
  const replies = await Promise.all([
    ...names.map((user_id) => managed.post('/team/member_add', { team_id: 't', member: { user_id, role: 'user' } })), managed.post('/team/member_delete', { team_id: 't', user_id: 'gone' }),
  ]);
  expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 200));
  expect(new Set(managed.database.teams.get('t')?.members_with_roles.map(({ user_id }) => user_id))).toEqual(new Set(names));
  await managed.post('/user/new', { user_id: 'twice', auto_create_key: false });
  const twice = await Promise.all([1, 2].map(() => managed.post('/team/member_add', { team_id: 't', member: { user_id: 'twice', role: 'user' } })));
  expect(twice.map(({ status }) => status).toSorted()).toEqual([200, 400]);
  expect(managed.database.teams.get('t')?.members_with_roles.filter(({ user_id }) => user_id === 'twice')).toHaveLength(1);
});

test('a user is made with a key, changed, listed, and deleted with its keys and memberships', async () => {
  await using managed = await startManagedGateway();
  await foundCompany(managed);
  const { body: made } = await managed.post('/user/new', { user_email: 'x@y', max_budget: 4, models: ['chat'], teams: ['blue'], key_alias: 'first', duration: '1d' });
  const id = String(made['user_id']);
  expect(made).toMatchObject({ key: expect.stringMatching(/^sk-/) as string, key_alias: 'first', user_role: 'internal_user', max_budget: 4, teams: ['blue'], expires: expect.any(String) as string });
  expect((await managed.get('/user/info', String(made['key']))).body).toMatchObject({ user_id: id, user_info: { user_email: 'x@y' }, keys: [{ key_alias: 'first', models: ['chat'] }], teams: [{ team_id: 'blue' }] });
  expect((await managed.post('/user/new', { user_id: id })).status).toBe(409);
  expect((await managed.post('/user/update', { user_email: 'x@y', max_budget: null, user_role: 'proxy_admin_viewer' })).body).toMatchObject({ user_id: id, data: { max_budget: null, user_role: 'proxy_admin_viewer' } });
  expect((await managed.get('/user/list?role=proxy_admin_viewer&page_size=1')).body).toMatchObject({ total: 2, page: 1, page_size: 1, total_pages: 2 });
  expect((await managed.post('/user/delete', { user_ids: [id] })).body).toBe(1);
  expect(managed.database.users.has(id)).toBe(false);
  expect(managed.database.teams.get('blue')?.members_with_roles).toEqual([{ user_id: 'bob', role: 'admin' }]);
  expect((await managed.get('/user/info', String(made['key']))).status).toBe(401);
});

test('a budget is made, changed, shown, listed and deleted', async () => {
  await using managed = await startManagedGateway();
  expect((await managed.post('/budget/new', { budget_id: 'b', max_budget: 5, model_max_budget: { chat: 1 } })).body).toMatchObject({ budget_id: 'b', max_budget: 5, model_max_budget: { chat: { max_budget: 1 } }, created_by: 'default_user_id' });
  expect((await managed.post('/budget/new', { budget_id: 'b' })).status).toBe(400);
  expect((await managed.post('/budget/update', { budget_id: 'b', rpm_limit: 9 })).body).toMatchObject({ max_budget: 5, rpm_limit: 9 });
  expect((await managed.post('/budget/info', { budgets: ['b'] })).body).toEqual([expect.objectContaining({ budget_id: 'b' })]);
  expect((await managed.get('/budget/info?budget_id=b')).body).toMatchObject({ rpm_limit: 9 });
  expect((await managed.get('/budget/settings?budget_id=b')).body).toContainEqual(expect.objectContaining({ field_name: 'rpm_limit', field_value: 9, stored_in_db: true }));
  expect((await managed.get('/budget/list')).body).toHaveLength(1);
  expect((await managed.post('/budget/delete', { id: 'b' })).body).toMatchObject({ budget_id: 'b' });
  expect(managed.database.budgets.size).toBe(0);
  expect(managed.changed).toEqual([undefined, undefined, undefined]);
});

test('a budget that keys use is not deleted: they would be without a limit', async () => {
  await using managed = await startManagedGateway();
  await managed.post('/budget/new', { budget_id: 'b', max_budget: 5 });
  const keys = [await managed.post('/key/generate', { budget_id: 'b' }), await managed.post('/key/generate', { budget_id: 'b' })].map(({ body }) => body['key']);
  const stored = managed.database.snapshot();
  expect(await managed.post('/budget/delete', { id: 'b' })).toMatchObject({ status: 400, body: { error: { param: 'id', message: expect.stringContaining('used by 2 keys') as string } } });
  expect(managed.database.snapshot()).toBe(stored);
  await managed.post('/key/update', { key: keys[0], budget_id: null });
  expect((await managed.post('/budget/delete', { id: 'b' })).body).toMatchObject({ error: { message: expect.stringContaining('used by 1 key.') as string } });
  await managed.post('/key/delete', { keys: [keys[1]] });
  expect((await managed.post('/budget/delete', { id: 'b' })).status).toBe(200);
});

test('who is promoted to administrator keeps the keys that only it or administrators have seen; the others are blocked', async () => {
  await using managed = await startManagedGateway();
  const { redAdmin, member, admin } = await foundCompany(managed);
  const made = await managed.post('/key/generate', { team_id: 'red', user_id: 'mia', key_alias: 'seen-by-ruth' }, redAdmin);
  const byAdmin = await managed.post('/key/generate', { user_id: 'mia' }, admin);
  const rotated = await managed.post('/key/generate', { team_id: 'red', user_id: 'mia' });
  const { body: seen } = await managed.post('/key/regenerate', { key: rotated.body['key'] }, redAdmin);
  expect(seen).toMatchObject({ created_by: 'ruth' });
  const { status, body } = await managed.post('/user/update', { user_id: 'mia', user_role: 'proxy_admin' });
  expect([status, new Set(body['blocked_keys'] as string[])]).toEqual([200, new Set([made.body['token'], seen['token']])]);
  for (const key of [made.body['key'], seen['key']]) expect((await managed.get('/key/list', String(key))).status).toBe(401);
  for (const key of [member, byAdmin.body['key']]) expect((await managed.get('/key/list', String(key))).status).toBe(200);
  expect(managed.audited.filter(({ action }) => action === 'key.block').map(({ resource }) => resource).toSorted()).toEqual([made.body['token'], seen['token']].map((token) => `key:${String(token)}`).toSorted());
  // Nothing is left to block; and who is an administrator already is not promoted.
  expect((await managed.post('/user/update', { user_id: 'mia', user_role: 'proxy_admin_viewer' })).body).not.toHaveProperty('blocked_keys');
});

test('a user that is made an administrator finds no key of its name that somebody else has seen', async () => {
  await using managed = await startManagedGateway();
  const { redAdmin } = await foundCompany(managed);
  await managed.post('/team/member_add', { team_id: 'red', member: { user_id: 'zoe', role: 'user' } });
  const { body: made } = await managed.post('/key/generate', { team_id: 'red', user_id: 'zoe' }, redAdmin);
  managed.database.users.delete('zoe');
  expect((await managed.post('/user/new', { user_id: 'zoe', user_role: 'proxy_admin', auto_create_key: false })).status).toBe(200);
  expect(managed.database.keys.get(String(made['token']))?.blocked).toBe(true);
});
