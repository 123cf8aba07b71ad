import { randomUUID } from 'node:crypto';
import { AppError } from '@pointsman/errors';
import type { AccessStore, KeyRow, UserRow } from '@pointsman/database';
import { userDeleteFields, userInfoQuery, userListQuery, userNewFields, userUpdateFields, type FieldsOf } from '@pointsman/schemas';
import { withinKeyBounds, withKeyDefaults } from './key-defaults.ts';
import { isAdministrator } from './key-permissions.ts';
import { keyInfoView, keyRecord, keyRow, newKey } from './key-rows.ts';
import type { ManagementCall } from './management-call.ts';
import { defineRoute, type ManagementRoute } from './management-route.ts';
import { difference } from './row-changes.ts';
import { teamView } from './team-routes.ts';
import { userChange, userRow } from './user-rows.ts';

type Call<Definition> = ManagementCall<FieldsOf<Definition>>;

const LIST_SIZE = 25;
const MOST_KEYS_SHOWN = 500;
/** LiteLLM's name of whoever has the master key. */
const MASTER_USER_ID = 'default_user_id';

export const userRoutes: readonly ManagementRoute[] = [
  defineRoute({ method: 'post', path: '/user/new', tag: 'Users', audience: 'admin', summary: 'Make a user, with a key unless auto_create_key is false', fields: userNewFields, handle: create }),
  defineRoute({ method: 'post', path: '/user/update', tag: 'Users', audience: 'admin', summary: 'Change a user; null takes a limit away', fields: userUpdateFields, handle: update }),
  defineRoute({ method: 'post', path: '/user/delete', tag: 'Users', audience: 'admin', summary: 'Delete users with their keys: all of them or none', fields: userDeleteFields, handle: remove }),
  defineRoute({ method: 'get', path: '/user/info', tag: 'Users', audience: 'anyone', summary: 'One user with keys and teams; without ?user_id= the caller\'s own', fields: userInfoQuery, handle: info }),
  defineRoute({ method: 'get', path: '/user/list', tag: 'Users', audience: 'reader', summary: 'Users by page, role or e-mail', fields: userListQuery, handle: list }),
];

async function create(call: Call<typeof userNewFields>): Promise<unknown> {
  const { user_id: chosen, teams, team_id, auto_create_key, key_alias, duration, ...fields } = call.fields;
  const settings = call.exchange.snapshot.config.litellmSettings;
  const key = auto_create_key === false ? undefined : newKey();
  const teamIds = [...new Set([...teams ?? [], ...(team_id === undefined || team_id === null ? [] : [team_id])])];
  const id = chosen ?? randomUUID();
  const made = await call.run(async ({ access }) => {
    if (await access.findUser(id) !== undefined) throw new AppError('conflict', '409', `User with id ${id} already exists.`, { param: 'user_id' });
    if (key_alias !== undefined && key_alias !== null && await access.findKeyByAlias(key_alias) !== undefined) {
      throw new AppError('invalid_request', '400', `Key with alias '${key_alias}' already exists. Unique key aliases across all keys are required.`, { param: 'key_alias', type: 'bad_request_error' });
    }
    for (const team of teamIds) if (await access.findTeam(team) === undefined) throw new AppError('not_found', '404', `Team not found, passed team id: ${team}.`, { param: 'teams' });
    // Keys may name a user before there is one.
    const blocked = isAdministrator(fields.user_role) ? await blockForeignKeys(call, access, id) : [];
    const user = await access.insertUser({ ...userRow(id, fields, call.now), teams: teamIds });
    for (const team of teamIds) await setMembership(access, { teamId: team, userId: id, isMember: true });
    // LiteLLM gives the first key of a user the user's models; its budget and limits stay with the user, where they count for all keys together.
    const keyFields = withinKeyBounds(withKeyDefaults({ user_id: id, team_id, key_alias, duration, models: fields.models }, settings), settings, { fill: true, now: call.now });
    return { user, blocked, key: key === undefined ? undefined : await access.insertKey(keyRow(key, keyFields, call)) };
  });
  auditBlocked(call, made.blocked);
  call.audit('user.create', `user:${id}`, { after: made.user });
  if (made.key !== undefined) call.audit('key.create', `key:${made.key.token}`, { after: keyRecord(made.key) });
  call.context.accessChanged(undefined);
  return { ...userView(made.user), key: key ?? null, token: made.key?.token ?? null, token_id: made.key?.token ?? null, key_name: made.key?.key_name ?? null, key_alias: made.key?.key_alias ?? null, expires: made.key?.expires ?? null };
}

async function update(call: Call<typeof userUpdateFields>): Promise<unknown> {
  const { user_id: named, ...fields } = call.fields;
  const { before, row, blocked } = await call.run(async ({ access }) => {
    const found = named === undefined || named === null ? await byEmail(access, fields.user_email) : await access.findUser(named);
    if (found === undefined) throw userNotFound(named ?? fields.user_email ?? '');
    const change = userChange(fields, call.now);
    const isPromoted = !isAdministrator(found.user_role) && isAdministrator(change.user_role);
    // Before, so that no such key is an administrator's for a moment; and after, for one that was made meanwhile.
    const early = isPromoted ? await blockForeignKeys(call, access, found.user_id) : [];
    const changed = await access.updateUser(found.user_id, { ...change, updated_at: call.now });
    if (changed === undefined) throw userNotFound(found.user_id);
    return { before: found, row: changed, blocked: isPromoted ? [...early, ...await blockForeignKeys(call, access, found.user_id)] : [] };
  });
  auditBlocked(call, blocked);
  call.audit('user.update', `user:${row.user_id}`, difference(before, row));
  call.context.accessChanged(undefined);
  return { user_id: row.user_id, data: userView(row), ...(blocked.length === 0 ? {} : { blocked_keys: blocked.map(({ token }) => token) }) };
}

/**
 * Blocks the keys of a user that somebody else has seen: made or last rotated by neither the user nor an administrator. They would carry the user's new role.
 * Returns those that were not blocked before.
 */
async function blockForeignKeys(call: ManagementCall<unknown>, access: AccessStore, userId: string): Promise<KeyRow[]> {
  const foreign: KeyRow[] = [];
  const isTrusted = new Map<string, boolean>([[userId, true], [call.author, true], [MASTER_USER_ID, true]]);
  for (let page = 1; ; page += 1) {
    const { rows, total } = await access.listKeys({ user_id: userId }, { page, size: MOST_KEYS_SHOWN });
    for (const key of rows) {
      const maker = key.created_by ?? '';
      if (!isTrusted.has(maker)) isTrusted.set(maker, isAdministrator((await access.findUser(maker))?.user_role));
      if (isTrusted.get(maker) !== true && !key.blocked) foreign.push(key);
    }
    if (rows.length === 0 || page * MOST_KEYS_SHOWN >= total) break;
  }
  for (const { token } of foreign) await access.updateKey(token, { blocked: true, updated_at: call.now, updated_by: call.author });
  return foreign;
}

function auditBlocked(call: ManagementCall<unknown>, keys: readonly KeyRow[]): void {
  for (const { token } of keys) call.audit('key.block', `key:${token}`, { before: { blocked: false }, after: { blocked: true } });
}

async function remove(call: Call<typeof userDeleteFields>): Promise<unknown> {
  const ids = [...new Set(call.fields.user_ids)];
  const { users, keys } = await call.run(async ({ access }) => {
    const found: UserRow[] = [];
    for (const id of ids) {
      const user = await access.findUser(id);
      if (user === undefined) throw userNotFound(id);
      found.push(user);
    }
    // Out of the teams first: a user made later under the same id must not find itself an admin.
    for (const user of found) {
      const { rows } = await access.listTeams({ user_id: user.user_id }, { page: 1, size: 500 });
      const teamIds = new Set([...user.teams, ...rows.map(({ team_id }) => team_id)]);
      for (const teamId of teamIds) await setMembership(access, { teamId, userId: user.user_id, isMember: false });
    }
    return access.deleteUsers(ids);
  });
  for (const row of users) call.audit('user.delete', `user:${row.user_id}`, { before: row });
  for (const row of keys) call.audit('key.delete', `key:${row.token}`, { before: keyRecord(row) });
  call.context.accessChanged(undefined);
  // LiteLLM answers with the bare number.
  return users.length;
}

async function info(call: Call<typeof userInfoQuery>): Promise<unknown> {
  const own = call.principal.userId;
  const id = call.fields.user_id ?? own;
  if (id === undefined) throw new AppError('invalid_request', 'missing_required_parameter', "Missing required parameter: 'user_id'. Your key belongs to no user.", { param: 'user_id' });
  if (!call.seesAll && id !== own) throw call.deny(`user:${id}`, 'You are not allowed to see this user: your key does not belong to it.');
  return call.run(async ({ access }) => {
    const user = await access.findUser(id);
    if (user === undefined) throw userNotFound(id);
    const { rows: keys } = await access.listKeys({ user_id: id }, { page: 1, size: MOST_KEYS_SHOWN });
    const teams = [];
    for (const teamId of user.teams) {
      const team = await access.findTeam(teamId);
      if (team !== undefined) teams.push(teamView(team));
    }
    return { user_id: id, user_info: userView(user), keys: keys.map(keyInfoView), teams };
  });
}

async function list(call: Call<typeof userListQuery>): Promise<unknown> {
  const { role, user_email, page = 1, page_size: size = LIST_SIZE } = call.fields;
  const { rows, total } = await call.run(({ access }) => access.listUsers({ ...(role === undefined ? {} : { role }), ...(user_email === undefined ? {} : { user_email }) }, { page, size }));
  return { users: rows.map(userView), total, page, page_size: size, total_pages: Math.ceil(total / size) };
}

async function setMembership(access: AccessStore, { teamId, userId, isMember }: { readonly teamId: string; readonly userId: string; readonly isMember: boolean }): Promise<void> {
  await access.changeTeamMembers(teamId, (members) => {
    if (members.some(({ user_id }) => user_id === userId) === isMember) return members;
    const others = members.filter(({ user_id }) => user_id !== userId);
    return isMember ? [...others, { user_id: userId, role: 'user' }] : others;
  });
}

async function byEmail(access: AccessStore, email: string | null | undefined): Promise<UserRow | undefined> {
  if (email === undefined || email === null) throw new AppError('invalid_request', 'missing_required_parameter', "Missing required parameter: 'user_id' or 'user_email'.", { param: 'user_id' });
  const { rows, total } = await access.listUsers({ user_email: email }, { page: 1, size: 2 });
  if (total > 1) throw new AppError('invalid_request', '400', `Several users have the e-mail '${email}': name one by user_id.`, { param: 'user_email' });
  return rows[0];
}

function userView(row: UserRow): Record<string, unknown> {
  return { ...row, organization_memberships: [], model_max_budget: {}, model_spend: {}, sso_user_id: null };
}

function userNotFound(id: string): AppError {
  return new AppError('not_found', '404', `User not found, passed user_id=${id}.`, { param: 'user_id' });
}
