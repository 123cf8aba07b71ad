import { isDeepStrictEqual } from 'node:util';
import type { AccessStore, KeyRow, TeamRow } from '@pointsman/database';
import { matchesPattern } from '../../access/name-pattern.ts';
import type { KeyChange } from './key-rows.ts';
import type { ManagementCall } from './management-call.ts';

type Call = ManagementCall<unknown>;

/** LiteLLM's words in `models` that never reach above the team. */
const LITELLM_WORDS = new Set(['all-team-models', 'no-default-models']);

/** Whether the caller is an admin of the team by the id of its user. */
export function isTeamAdmin(call: Call, team: TeamRow | undefined): boolean {
  const { userId } = call.principal;
  return userId !== undefined && team?.members_with_roles.some((member) => member.user_id === userId && member.role === 'admin') === true;
}

/**
 * The team whose keys the caller may manage as its admin; undefined for who may manage every key.
 * @throws AppError `forbidden`, audited, for everybody else. A team that is not there is refused like somebody else's.
 */
export async function managedTeam(call: Call, access: AccessStore, { teamId, resource }: { readonly teamId: string | null; readonly resource: string }): Promise<TeamRow | undefined> {
  if (call.isAdmin) return undefined;
  if (teamId === null) throw call.deny(resource, 'Only the master key, an admin key or an admin of the key\'s team may manage this key. Your key may manage keys of the teams whose admin your user is: name one in team_id.');
  const team = await access.findTeam(teamId);
  if (!isTeamAdmin(call, team)) throw call.deny(resource, `Your user is not an admin of team '${teamId}'.`);
  return team;
}

/**
 * What an admin of a team may not do to one of its keys: reach above the team's limits, or into the rights of an administrator.
 * (What it may not do beyond its own key's limits, models and expiry: `checkWithinOwn`.)
 * `before` is undefined for a new key; only what `change` touches is judged.
 * @throws AppError `forbidden`, audited.
 */
export async function checkTeamAdminChange(call: Call, access: AccessStore, { team, before, change, resource }: {
  readonly team: TeamRow; readonly before: KeyRow | undefined; readonly change: KeyChange; readonly resource: string;
}): Promise<void> {
  const own = call.principal.access?.key;
  const refuse = (field: string, reason: string): Error => call.deny(resource, `${field}: ${reason}`);

  const owner = change.user_id === undefined ? before?.user_id ?? null : change.user_id;
  await refuseAdministrator(call, access, owner, resource);
  if (change.user_id !== undefined && change.user_id !== null && change.user_id !== before?.user_id && change.user_id !== call.principal.userId && !team.members_with_roles.some(({ user_id }) => user_id === change.user_id)) {
    throw refuse('user_id', `'${change.user_id}' is not a member of team '${team.team_id}'.`);
  }
  if (change.budget_id !== undefined && change.budget_id !== (before?.budget_id ?? null)) throw refuse('budget_id', 'only an administrator may attach a budget or take one away.');
  if (change.spend !== undefined && change.spend !== (before?.spend ?? 0)) throw refuse('spend', 'only an administrator may set what was spent.');
  if (change.team_id !== undefined && change.team_id !== team.team_id) {
    const next = change.team_id === null ? undefined : await access.findTeam(change.team_id);
    if (next === undefined || !isTeamAdmin(call, next)) throw refuse('team_id', 'a key can only be moved to a team whose admin your user is.');
    // In the new team it is under that one's limits: all of the key is judged by them.
    const { budget_id: _budget, spend: _spend, ...whole } = { ...before, ...change };
    await checkTeamAdminChange(call, access, { team: next, before: undefined, change: whole, resource });
    return;
  }
  for (const field of ['max_budget', 'tpm_limit', 'rpm_limit', 'max_parallel_requests'] as const) {
    const value = change[field];
    const most = team[field];
    if (value !== undefined && value !== null && most !== null && value > most) throw refuse(field, `${String(value)} is above the team's ${String(most)}.`);
  }
  for (const [model, budget] of Object.entries(change.model_max_budget ?? {})) {
    const most = Object.hasOwn(team.model_max_budget, model) ? team.model_max_budget[model]?.max_budget : undefined;
    if (most !== undefined && budget.max_budget > most) throw refuse('model_max_budget', `the budget of ${model} is above the team's ${String(most)}.`);
  }
  if (team.models.length > 0) {
    const beyond = [...(change.models ?? []), ...Object.values(change.aliases ?? {})].find((model) => !LITELLM_WORDS.has(model) && !isWithin(model, team.models));
    if (beyond !== undefined) throw refuse('models', `the team may not use '${beyond}'.`);
  }
  for (const [permission, value] of Object.entries(change.permissions ?? {})) {
    const had = before !== undefined && Object.hasOwn(before.permissions, permission) && isDeepStrictEqual(before.permissions[permission], value);
    const has = own !== undefined && Object.hasOwn(own.permissions, permission) && isDeepStrictEqual(own.permissions[permission], value);
    if (!had && !has) throw refuse('permissions', `your own key has no permission '${permission}' like this.`);
  }
  if (own !== undefined && own.allowed_routes.length > 0 && change.allowed_routes !== undefined) {
    const beyond = change.allowed_routes.length === 0 ? 'all routes of its role' : change.allowed_routes.find((route) => !own.allowed_routes.includes(route));
    if (beyond !== undefined) throw refuse('allowed_routes', `your own key may not use ${beyond}.`);
  }
}

/**
 * A key carries the role of its user: whoever could make, change or rotate a key of an administrator would be one.
 * @throws AppError `forbidden`, audited.
 */
export async function refuseAdministrator(call: Call, access: AccessStore, userId: string | null, resource: string): Promise<void> {
  if (userId === null || userId === call.principal.userId) return;
  const user = await access.findUser(userId);
  if (isAdministrator(user?.user_role)) throw call.deny(resource, 'user_id: keys of administrators are managed by administrators.');
}

/** Whether a role sees everything: that of administrators and of viewers. */
export function isAdministrator(role: string | null | undefined): boolean {
  return role === 'proxy_admin' || role === 'proxy_admin_viewer';
}

/** Whether a list of models covers a name: by itself or by a wildcard of the list. */
function isWithin(model: string, models: readonly string[]): boolean {
  return models.some((allowed) => allowed === model || matchesPattern(allowed, model));
}
