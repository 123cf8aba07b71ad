import { AppError } from '@pointsman/errors';
import type { AccessStore, KeyRow } from '@pointsman/database';
import {
  keyBlockFields, keyBulkUpdateFields, keyDeleteFields, keyGenerateFields, keyInfoQuery, keyListQuery, keyRegenerateFields, keyResetSpendFields, keyUpdateFields, serviceAccountFields,
} from '@pointsman/schemas';
import { after } from './expiry.ts';
import { withinKeyBounds, withKeyDefaults } from './key-defaults.ts';
import { checkTeamAdminChange, isTeamAdmin, managedTeam, refuseAdministrator } from './key-permissions.ts';
import { checkWithinOwn, expiryWithin, ownBounds, withOwnBounds } from './own-key-bounds.ts';
import { hashOfKey, keyChange, keyInfoView, keyRecord, keyRow, keyView, nameOf, newKey, newKeyView, tokenOf, type KeyChange, type KeyFields } from './key-rows.ts';
import type { ManagementCall } from './management-call.ts';
import { defineRoute, type ManagementRoute } from './management-route.ts';
import { difference } from './row-changes.ts';

type Call<Fields = unknown> = ManagementCall<Fields>;

/** Default and largest page of `/key/list`; the default is LiteLLM's. */
const LIST_SIZE = 10;

export const keyRoutes: readonly ManagementRoute[] = [
  defineRoute({
    method: 'post', path: '/key/generate', tag: 'Keys', audience: 'anyone', summary: 'Make a virtual key; the reply shows it, once', fields: keyGenerateFields,
    handle: (call) => generate(call, call.fields),
  }),
  defineRoute({
    method: 'post', path: '/key/service-account/generate', tag: 'Keys', audience: 'anyone', summary: 'Make a key of a team that belongs to no user', fields: serviceAccountFields,
    handle: (call) => generate(call, { ...call.fields, user_id: null, metadata: { ...call.fields.metadata, service_account_id: call.fields.key_alias ?? 'service-account' } }),
  }),
  defineRoute({
    method: 'post', path: '/key/update', tag: 'Keys', audience: 'anyone', summary: 'Change a key; null takes a limit away', fields: keyUpdateFields,
    async handle(call) {
      const { key, ...fields } = call.fields;
      const row = await update(call, key, fields);
      // LiteLLM answers with the key as it was named.
      return { ...keyView(row), key };
    },
  }),
  defineRoute({
    method: 'post', path: '/key/bulk_update', tag: 'Keys', audience: 'admin', summary: 'Change several keys; each succeeds or fails by itself', fields: keyBulkUpdateFields,
    async handle(call) {
      const successful: unknown[] = [];
      const failed: unknown[] = [];
      for (const { key, ...fields } of call.fields.keys) {
        try {
          successful.push({ key, key_info: keyView(await update(call, key, fields)) });
        } catch (error) {
          // What is wrong with one key is its own; a database that is away is everybody's.
          if (!(error instanceof AppError) || error.status >= 500 || error.type === 'no_db_connection') throw error;
          failed.push({ key, failed_reason: error.message });
        }
      }
      return { total_requested: call.fields.keys.length, successful_updates: successful, failed_updates: failed };
    },
  }),
  defineRoute({ method: 'post', path: '/key/delete', tag: 'Keys', audience: 'anyone', summary: 'Delete keys by key, hash or alias: all of them or none', fields: keyDeleteFields, handle: remove }),
  defineRoute({ method: 'post', path: '/key/block', tag: 'Keys', audience: 'anyone', summary: 'Refuse a key until it is unblocked', fields: keyBlockFields, handle: (call) => setBlocked(call, true) }),
  defineRoute({ method: 'post', path: '/key/unblock', tag: 'Keys', audience: 'anyone', summary: 'Accept a blocked key again', fields: keyBlockFields, handle: (call) => setBlocked(call, false) }),
  defineRoute({ method: 'post', path: '/key/regenerate', tag: 'Keys', audience: 'anyone', summary: 'Give a key a new secret; with grace_period the old one works that much longer', fields: keyRegenerateFields, handle: regenerate }),
  defineRoute({ method: 'post', path: '/key/{key}/regenerate', tag: 'Keys', audience: 'anyone', summary: 'Give a key a new secret; with grace_period the old one works that much longer', fields: keyRegenerateFields, handle: regenerate }),
  defineRoute({ method: 'post', path: '/key/{key}/reset_spend', tag: 'Keys', audience: 'admin', summary: 'Set what a key has spent in this period back to a lower amount', fields: keyResetSpendFields, handle: resetSpend }),
  defineRoute({ method: 'get', path: '/key/info', tag: 'Keys', audience: 'anyone', summary: 'One key; without ?key= the caller\'s own', fields: keyInfoQuery, handle: info }),
  defineRoute({ method: 'get', path: '/key/list', tag: 'Keys', audience: 'anyone', summary: 'Keys by page, user, team or alias', fields: keyListQuery, handle: list }),
];

async function generate(call: Call, fields: KeyFields & { readonly key?: string | null | undefined }): Promise<unknown> {
  const settings = call.exchange.snapshot.config.litellmSettings;
  const { key: chosen, ...rest } = fields;
  const own = call.principal.access?.key.allowed_routes ?? [];
  // A key makes no key that may call more than itself.
  const inherited = call.isAdmin || own.length === 0 || (rest.allowed_routes ?? []).length > 0 || (rest.key_type ?? 'default') !== 'default' ? {} : { allowed_routes: own };
  const resource = 'key:new';
  const key = chosen ?? newKey();
  const { made, wanted } = await call.run(async ({ access }) => {
    // Who manages no team is told that, before anything else is looked at.
    const named = withKeyDefaults(rest, settings).team_id ?? null;
    const team = await managedTeam(call, access, { teamId: named, resource });
    const bounds = await ownBounds(call, access, resource);
    const asked = { ...rest, ...inherited };
    const filled = withinKeyBounds(withKeyDefaults(bounds === undefined ? asked : withOwnBounds(asked, bounds), settings), settings, { fill: true, now: call.now });
    let row = keyRow(key, filled, call);
    if (bounds !== undefined) {
      if ((rest.duration ?? null) === null) row = { ...row, expires: expiryWithin(row, bounds) };
      checkWithinOwn(call, bounds, { change: row, resource });
    }
    if (team !== undefined) await checkTeamAdminChange(call, access, { team, before: undefined, change: keyChange(filled, call.now), resource });
    else if (row.team_id !== null && await access.findTeam(row.team_id) === undefined) throw teamNotFound(row.team_id);
    await checkReferences(access, { budget_id: row.budget_id });
    if (chosen !== undefined && chosen !== null) await refuseTaken(call, access, row.token, 'key');
    await refuseTakenAlias(access, row.key_alias, undefined);
    return { made: await access.insertKey(row), wanted: filled };
  });
  call.audit('key.create', `key:${made.token}`, { after: keyRecord(made) });
  // Replicas may remember that nobody had this key.
  call.context.accessChanged([made.token]);
  return newKeyView(key, made, wanted);
}

async function update(call: Call, keyOrHash: string, fields: KeyFields): Promise<KeyRow> {
  const wanted = withinKeyBounds(fields, call.exchange.snapshot.config.litellmSettings, { fill: false, now: call.now });
  const change = keyChange(wanted, call.now);
  return changeKey(call, { keyOrHash, action: 'key.update', change });
}

/** Changes one key with all that belongs to it: permission, references, audit, news for the replicas. */
async function changeKey(call: Call, { keyOrHash, action, change }: { readonly keyOrHash: string; readonly action: string; readonly change: KeyChange }): Promise<KeyRow> {
  const { before, row } = await call.run(async ({ access }) => {
    const found = await manageable(call, access, keyOrHash);
    await checkChange(call, access, { found, change, shown: false });
    const changed = await access.updateKey(found.token, { ...change, updated_at: call.now, updated_by: call.author });
    if (changed === undefined) throw keyNotFound();
    return { before: found, row: changed };
  });
  call.audit(action, `key:${row.token}`, difference(keyRecord(before), keyRecord(row)));
  call.context.accessChanged([row.token]);
  return row;
}

/**
 * The key that a caller names, if the caller may manage it.
 * @throws AppError `not_found`, `forbidden`.
 */
async function manageable(call: Call, access: AccessStore, keyOrHash: string): Promise<KeyRow> {
  const token = tokenOf(keyOrHash);
  const resource = `key:${token}`;
  // Who manages no team learns nothing about which keys exist.
  if (!call.isAdmin && call.principal.userId === undefined) throw call.deny(resource, 'Only the master key, an admin key or an admin of the key\'s team may manage keys.');
  const found = await access.findKey(token);
  if (found === undefined) throw keyNotFound();
  const team = await managedTeam(call, access, { teamId: found.team_id, resource });
  if (team !== undefined) await refuseAdministrator(call, access, found.user_id, resource);
  return found;
}

/** `shown`: the caller gets to know the secret, so that all of the key is judged by what the caller's own may. */
async function checkChange(call: Call, access: AccessStore, { found, change, shown }: { readonly found: KeyRow; readonly change: KeyChange; readonly shown: boolean }): Promise<void> {
  if (!call.isAdmin && found.team_id !== null) {
    const team = await access.findTeam(found.team_id);
    if (team === undefined) throw teamNotFound(found.team_id);
    const resource = `key:${found.token}`;
    await checkTeamAdminChange(call, access, { team, before: found, change, resource });
    const bounds = await ownBounds(call, access, resource);
    if (bounds !== undefined) checkWithinOwn(call, bounds, { change: shown && found.token !== bounds.token ? { ...found, ...change } : change, resource });
  } else if (change.team_id !== undefined && change.team_id !== null && await access.findTeam(change.team_id) === undefined) {
    throw teamNotFound(change.team_id);
  }
  await checkReferences(access, change);
  await refuseTakenAlias(access, change.key_alias ?? null, found.token);
}

async function remove(call: Call<{ readonly keys?: readonly string[] | null | undefined; readonly key_aliases?: readonly string[] | null | undefined }>): Promise<unknown> {
  const { keys, key_aliases: aliases } = call.fields;
  if ((keys ?? aliases ?? undefined) === undefined) throw new AppError('invalid_request', 'missing_required_parameter', "Missing required parameter: 'keys' or 'key_aliases'.", { param: 'keys' });
  const gone = await call.run(async ({ access }) => {
    const tokens = new Set<string>();
    for (const key of keys ?? []) tokens.add((await manageable(call, access, key)).token);
    for (const alias of aliases ?? []) {
      const found = await access.findKeyByAlias(alias);
      if (found === undefined) throw keyNotFound();
      tokens.add((await manageable(call, access, found.token)).token);
    }
    return access.deleteKeys([...tokens]);
  });
  for (const row of gone) call.audit('key.delete', `key:${row.token}`, { before: keyRecord(row) });
  call.context.accessChanged(gone.map(({ token }) => token));
  return { deleted_keys: [...keys ?? [], ...aliases ?? []] };
}

async function setBlocked(call: Call<{ readonly key: string }>, blocked: boolean): Promise<unknown> {
  return keyView(await changeKey(call, { keyOrHash: call.fields.key, action: blocked ? 'key.block' : 'key.unblock', change: { blocked } }));
}

async function regenerate(call: Call<KeyFields & { readonly key?: string | null | undefined; readonly new_key?: string | null | undefined; readonly grace_period?: string | null | undefined; readonly new_master_key?: string | null | undefined }>): Promise<unknown> {
  const { key: named, new_key: chosen, grace_period: grace, new_master_key: masterKey, ...fields } = call.fields;
  if (masterKey !== undefined && masterKey !== null) throw new AppError('not_supported', 'not_supported', 'The master key is set in general_settings.master_key or LITELLM_MASTER_KEY: change it there, a reload makes it count.', { param: 'new_master_key' });
  const keyOrHash = call.pathKey === '' ? named : call.pathKey;
  if (keyOrHash === undefined || keyOrHash === null) throw new AppError('invalid_request', 'missing_required_parameter', "Missing required parameter: 'key'.", { param: 'key' });
  const key = chosen ?? newKey();
  const next = { token: hashOfKey(key), key_name: nameOf(key), graceUntil: grace === undefined || grace === null ? undefined : after(call.now, grace) };
  const wanted = withinKeyBounds(fields, call.exchange.snapshot.config.litellmSettings, { fill: false, now: call.now });
  const { before, row } = await call.run(async ({ access }) => {
    const found = await manageable(call, access, keyOrHash);
    const change = keyChange(wanted, call.now);
    await checkChange(call, access, { found, change, shown: true });
    if (chosen !== undefined && chosen !== null) await refuseTaken(call, access, next.token, 'new_key');
    // Whoever rotates a key is who knows its secret: promotion of its user asks for that.
    const rotated = await access.rotateKey(found.token, next, { ...change, created_by: call.author, updated_at: call.now, updated_by: call.author });
    if (rotated === undefined) throw keyNotFound();
    return { before: found, row: rotated };
  });
  const { before: was, after: is } = difference(keyRecord(before), keyRecord(row));
  call.audit('key.regenerate', `key:${row.token}`, { before: { ...was, hash: before.token }, after: { ...is, hash: row.token, grace_until: next.graceUntil ?? null } });
  call.context.accessChanged([before.token, row.token]);
  return newKeyView(key, row, wanted);
}

async function resetSpend(call: Call<{ readonly reset_to: number }>): Promise<unknown> {
  const { reset_to: spend } = call.fields;
  let previous = 0;
  const { row } = await call.run(async ({ access }) => {
    const found = await manageable(call, access, call.pathKey);
    previous = found.spend;
    if (spend > found.spend) throw new AppError('invalid_request', '400', `reset_to (${String(spend)}) is above what the key has spent (${String(found.spend)}).`, { param: 'reset_to' });
    const changed = await access.updateKey(found.token, { spend, updated_at: call.now, updated_by: call.author });
    if (changed === undefined) throw keyNotFound();
    return { row: changed };
  });
  call.audit('key.reset_spend', `key:${row.token}`, { before: { spend: previous }, after: { spend: row.spend } });
  call.context.accessChanged([row.token]);
  return { key_hash: row.token, spend: row.spend, previous_spend: previous, max_budget: row.max_budget, budget_reset_at: row.budget_reset_at };
}

async function info(call: Call<{ readonly key?: string | undefined }>): Promise<unknown> {
  const own = call.principal.access?.key.token ?? call.principal.keyHash;
  const asked = call.fields.key;
  const token = asked === undefined ? own : tokenOf(asked);
  return call.run(async ({ access }) => {
    const row = await access.findKey(token);
    if (token !== own && !call.seesAll) {
      // Whether such a key exists is not this caller's business either, unless it is one of its team.
      const team = row?.team_id === undefined || row.team_id === null ? undefined : await access.findTeam(row.team_id);
      if (!isTeamAdmin(call, team)) throw call.deny(`key:${token}`, 'You are not allowed to access this key\'s info: it is not your own key, nor one of a team whose admin your user is.');
    }
    if (row === undefined) throw keyNotFound();
    const spent = (await access.findAccess(row.token))?.model_spend.filter(({ scope }) => scope === 'key') ?? [];
    return { key: asked ?? token, info: { ...keyInfoView(row), model_spend: Object.fromEntries(spent.map(({ model, spend }) => [model, spend])) } };
  });
}

async function list(call: Call<{ readonly page?: number | undefined; readonly size?: number | undefined; readonly user_id?: string | undefined; readonly team_id?: string | undefined; readonly key_alias?: string | undefined; readonly key_hash?: string | undefined; readonly return_full_object?: boolean | undefined }>): Promise<unknown> {
  const { page = 1, size = LIST_SIZE, user_id, team_id, key_alias, key_hash, return_full_object: isFull = false } = call.fields;
  return call.run(async ({ access }) => {
    if (!call.seesAll && !isTeamAdmin(call, team_id === undefined ? undefined : await access.findTeam(team_id))) {
      throw call.deny('route:/key/list', 'Only the master key, an admin key or a viewer key may list all keys; an admin of a team lists its keys with ?team_id=.');
    }
    const filter = {
      ...(user_id === undefined ? {} : { user_id }), ...(team_id === undefined ? {} : { team_id }), ...(key_alias === undefined ? {} : { key_alias }), ...(key_hash === undefined ? {} : { token: tokenOf(key_hash) }),
    };
    const { rows, total } = await access.listKeys(filter, { page, size });
    return { keys: rows.map((row) => (isFull ? keyView(row) : row.token)), total_count: total, current_page: page, total_pages: Math.ceil(total / size) };
  });
}

/** @throws AppError `not_found` for a budget that is not there: the key would be without the limits that it names. */
async function checkReferences(access: AccessStore, { budget_id }: Pick<KeyChange, 'budget_id'>): Promise<void> {
  if (budget_id === undefined || budget_id === null) return;
  if (await access.findBudget(budget_id) === undefined) throw new AppError('not_found', '404', `Budget not found, passed budget_id=${budget_id}.`, { param: 'budget_id' });
}

/** A chosen key must be nobody's: not a virtual key's (also not an old one that still works), not the master key. */
async function refuseTaken(call: Call, access: AccessStore, token: string, param: string): Promise<void> {
  const known = await access.findAccess(token) ?? await call.context.keys.find(Buffer.from(token, 'hex'));
  if (known !== undefined) throw new AppError('invalid_request', '400', `Key with hash ${token} already exists: choose another ${param} or leave it out.`, { param, type: 'bad_request_error' });
}

async function refuseTakenAlias(access: AccessStore, alias: string | null, own: string | undefined): Promise<void> {
  if (alias === null) return;
  const other = await access.findKeyByAlias(alias);
  if (other !== undefined && other.token !== own) throw new AppError('invalid_request', '400', `Key with alias '${alias}' already exists. Unique key aliases across all keys are required.`, { param: 'key_alias', type: 'bad_request_error' });
}

function keyNotFound(): AppError {
  return new AppError('not_found', '404', 'Key not found in database.', { param: 'key' });
}

function teamNotFound(teamId: string): AppError {
  return new AppError('not_found', '404', `Team not found, passed team_id=${teamId}.`, { param: 'team_id' });
}
