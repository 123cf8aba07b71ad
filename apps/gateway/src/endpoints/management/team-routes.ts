import { randomUUID } from 'node:crypto';
import { AppError } from '@pointsman/errors';
import type { AccessStore, TeamRow, UserRow } from '@pointsman/database';
import {
  teamBlockFields, teamDeleteFields, teamInfoQuery, teamListQuery, teamMemberAddFields, teamMemberDeleteFields, teamMemberUpdateFields, teamNewFields, teamUpdateFields, type FieldsOf,
} from '@pointsman/schemas';
import { isTeamAdmin } from './key-permissions.ts';
import { keyInfoView, keyRecord } from './key-rows.ts';
import { limitChange, NO_LIMITS, resetChange } from './limit-change.ts';
import type { ManagementCall } from './management-call.ts';
import { defineRoute, type ManagementRoute } from './management-route.ts';
import { difference, given, givenOrEmpty } from './row-changes.ts';
import { joinTeam, leaveTeam, userRow } from './user-rows.ts';

type Call<Definition = typeof teamInfoQuery> = ManagementCall<FieldsOf<Definition>>;
type Member = TeamRow['members_with_roles'][number];
type TeamChange = Partial<Omit<TeamRow, 'team_id' | 'created_at'>>;

/** LiteLLM's lists of teams have no pages; ours end here unless asked to go on. */
const LIST_SIZE = 500;

export const teamRoutes: readonly ManagementRoute[] = [
  defineRoute({ method: 'post', path: '/team/new', tag: 'Teams', audience: 'admin', summary: 'Make a team', fields: teamNewFields, handle: create }),
  defineRoute({
    method: 'post', path: '/team/update', tag: 'Teams', audience: 'admin', summary: 'Change a team; null takes a limit away', fields: teamUpdateFields,
    async handle(call) {
      const { team_id: id, ...fields } = call.fields;
      const row = await changeTeam(call, { id, action: 'team.update', change: teamChange(fields, call.now) });
      return { team_id: id, data: teamView(row) };
    },
  }),
  defineRoute({ method: 'post', path: '/team/delete', tag: 'Teams', audience: 'admin', summary: 'Delete teams with their keys: all of them or none', fields: teamDeleteFields, handle: remove }),
  defineRoute({ method: 'post', path: '/team/block', tag: 'Teams', audience: 'admin', summary: 'Refuse every key of a team until it is unblocked', fields: teamBlockFields, handle: (call) => setBlocked(call, true) }),
  defineRoute({ method: 'post', path: '/team/unblock', tag: 'Teams', audience: 'admin', summary: 'Accept the keys of a blocked team again', fields: teamBlockFields, handle: (call) => setBlocked(call, false) }),
  defineRoute({ method: 'post', path: '/team/member_add', tag: 'Teams', audience: 'admin', summary: 'Add members; users that are not there yet are made', fields: teamMemberAddFields, handle: addMembers }),
  defineRoute({ method: 'post', path: '/team/member_delete', tag: 'Teams', audience: 'admin', summary: 'Remove a member; its keys stay', fields: teamMemberDeleteFields, handle: removeMember }),
  defineRoute({ method: 'post', path: '/team/member_update', tag: 'Teams', audience: 'admin', summary: 'Change the role of a member', fields: teamMemberUpdateFields, handle: updateMember }),
  defineRoute({ method: 'get', path: '/team/info', tag: 'Teams', audience: 'anyone', summary: 'One team with its keys; without ?team_id= the caller\'s own', fields: teamInfoQuery, handle: info }),
  defineRoute({ method: 'get', path: '/team/list', tag: 'Teams', audience: 'reader', summary: 'Teams, also those of one user', fields: teamListQuery, handle: list }),
];

async function create(call: Call<typeof teamNewFields>): Promise<unknown> {
  const { team_id: chosen, members_with_roles: members, ...fields } = call.fields;
  const { row, madeUsers } = await call.run(async ({ access }) => {
    const id = chosen ?? randomUUID();
    if (await access.findTeam(id) !== undefined) throw new AppError('invalid_request', '400', `Team id = ${id} already exists. Please use a different team id.`, { param: 'team_id', type: 'bad_request_error' });
    const known = await knownMembers(call, access, members ?? []);
    const made = await access.insertTeam({
      ...NO_LIMITS, team_id: id, team_alias: null, models: [], aliases: {}, metadata: {}, model_max_budget: {}, spend: 0, budget_reset_at: null, blocked: false,
      ...teamChange(fields, call.now), members_with_roles: known.members, created_at: call.now, updated_at: call.now,
    });
    return { row: made, madeUsers: await enrol(access, { id, users: known.users }) };
  });
  auditUsers(call, madeUsers);
  call.audit('team.create', `team:${row.team_id}`, { after: teamRecord(row) });
  call.context.accessChanged(undefined);
  return teamView(row);
}

function teamChange(fields: Omit<FieldsOf<typeof teamUpdateFields>, 'team_id'>, now: Date): TeamChange {
  const aliases = fields.model_aliases;
  return {
    ...limitChange(fields), ...resetChange(fields, now), ...given(fields, ['team_alias']),
    ...givenOrEmpty(fields, { models: [], metadata: {}, model_max_budget: {}, blocked: false }),
    ...(aliases === undefined ? {} : { aliases: aliases ?? {} }),
  };
}

/** Changes one team: the keys of it see the change at once, on every replica. */
async function changeTeam(call: ManagementCall<unknown>, { id, action, change }: { readonly id: string; readonly action: string; readonly change: TeamChange }): Promise<TeamRow> {
  const { before, after } = await call.run(async ({ access }) => {
    const found = await access.findTeam(id);
    if (found === undefined) throw teamNotFound(id);
    const row = await access.updateTeam(id, { ...change, updated_at: call.now });
    if (row === undefined) throw teamNotFound(id);
    return { before: found, after: row };
  });
  announce(call, { action, before, after });
  return after;
}

interface MembersChange {
  readonly id: string;
  readonly action: string;
  /** What needs the database; returns the change itself, which must be right for whatever others have changed meanwhile. */
  readonly prepare: (team: TeamRow, access: AccessStore) => Promise<(members: readonly Member[]) => Member[]>;
}

/** Changes the members of a team: two at the same moment do not undo each other. */
async function changeMembers(call: ManagementCall<unknown>, { id, action, prepare }: MembersChange): Promise<TeamRow> {
  const { before, after } = await call.run(async ({ access }) => {
    const found = await access.findTeam(id);
    if (found === undefined) throw teamNotFound(id);
    const changed = await access.changeTeamMembers(id, await prepare(found, access));
    if (changed === undefined) throw teamNotFound(id);
    return changed;
  });
  announce(call, { action, before, after });
  return after;
}

function announce(call: ManagementCall<unknown>, { action, before, after }: { readonly action: string; readonly before: TeamRow; readonly after: TeamRow }): void {
  call.audit(action, `team:${after.team_id}`, difference(teamRecord(before), teamRecord(after)));
  call.context.accessChanged(undefined);
}

async function remove(call: Call<typeof teamDeleteFields>): Promise<unknown> {
  const ids = [...new Set(call.fields.team_ids)];
  const { teams, keys } = await call.run(async ({ access }) => {
    const found: TeamRow[] = [];
    for (const id of ids) {
      const team = await access.findTeam(id);
      if (team === undefined) throw teamNotFound(id);
      found.push(team);
    }
    const gone = await access.deleteTeams(ids);
    for (const { user_id: userId } of found.flatMap(({ members_with_roles: members }) => members)) await leaveTeam(access, userId, ids);
    return gone;
  });
  for (const row of teams) call.audit('team.delete', `team:${row.team_id}`, { before: teamRecord(row) });
  for (const row of keys) call.audit('key.delete', `key:${row.token}`, { before: keyRecord(row) });
  call.context.accessChanged(undefined);
  return { deleted_teams: ids };
}

async function setBlocked(call: Call<typeof teamBlockFields>, blocked: boolean): Promise<unknown> {
  return teamView(await changeTeam(call, { id: call.fields.team_id, action: blocked ? 'team.block' : 'team.unblock', change: { blocked } }));
}

async function addMembers(call: Call<typeof teamMemberAddFields>): Promise<unknown> {
  const { team_id: id, member } = call.fields;
  let madeUsers: readonly UserRow[] = [];
  let added: readonly UserRow[] = [];
  const row = await changeMembers(call, {
    id, action: 'team.member_add',
    async prepare(team, access) {
      const { members, users } = await knownMembers(call, access, Array.isArray(member) ? member : [member]);
      const join = (present: readonly Member[]): Member[] => {
        const again = members.find(({ user_id }) => present.some((existing) => existing.user_id === user_id));
        if (again !== undefined) throw new AppError('invalid_request', '400', `User '${again.user_id}' already in team. Existing members: see /team/info.`, { param: 'member', type: 'team_member_already_in_team' });
        return [...present, ...members];
      };
      // Before any user is written: what is refused changes nothing.
      join(team.members_with_roles);
      madeUsers = await enrol(access, { id, users });
      added = users.map(({ row: user }) => user);
      return join;
    },
  });
  auditUsers(call, madeUsers);
  return { ...teamView(row), updated_users: added.map(({ user_id, user_email }) => ({ user_id, user_email })), updated_team_memberships: [] };
}

async function removeMember(call: Call<typeof teamMemberDeleteFields>): Promise<unknown> {
  const { team_id: id } = call.fields;
  const row = await changeMembers(call, {
    id, action: 'team.member_delete',
    async prepare(team, access) {
      const { user_id: userId } = await memberOf(access, team, call.fields);
      await leaveTeam(access, userId, [id]);
      return (members) => members.filter(({ user_id }) => user_id !== userId);
    },
  });
  return teamView(row);
}

async function updateMember(call: Call<typeof teamMemberUpdateFields>): Promise<unknown> {
  const { team_id: id, role } = call.fields;
  let member: Member | undefined;
  await changeMembers(call, {
    id, action: 'team.member_update',
    async prepare(team, access) {
      const found = await memberOf(access, team, call.fields);
      const next = { ...found, role: role ?? found.role };
      member = next;
      return (members) => members.map((each) => (each.user_id === next.user_id ? { ...each, role: role ?? each.role } : each));
    },
  });
  return { team_id: id, user_id: member?.user_id, user_email: call.fields.user_email ?? null, role: member?.role, max_budget_in_team: null };
}

async function info(call: Call): Promise<unknown> {
  const own = call.principal.teamId;
  const id = call.fields.team_id ?? own;
  if (id === undefined) throw new AppError('invalid_request', 'missing_required_parameter', "Missing required parameter: 'team_id'.", { param: 'team_id' });
  return call.run(async ({ access }) => {
    const team = await access.findTeam(id);
    const manages = isTeamAdmin(call, team);
    if (!call.seesAll && !manages && id !== own) throw call.deny(`team:${id}`, 'You are not allowed to see this team: it is not the team of your key.');
    if (team === undefined) throw teamNotFound(id);
    // Members see their team, but only their own key of it.
    const { rows } = await access.listKeys({ team_id: id, ...(call.seesAll || manages ? {} : { token: call.principal.access?.key.token ?? call.principal.keyHash }) }, { page: 1, size: LIST_SIZE });
    return { team_id: id, team_info: teamView(team), keys: rows.map(keyInfoView), team_memberships: [] };
  });
}

async function list(call: Call<typeof teamListQuery>): Promise<unknown> {
  const { user_id, team_alias, page = 1, page_size: size = LIST_SIZE } = call.fields;
  const { rows } = await call.run(({ access }) => access.listTeams({ ...(user_id === undefined ? {} : { user_id }), ...(team_alias === undefined ? {} : { team_alias }) }, { page, size }));
  return rows.map(teamView);
}

type WantedMember = { readonly role: string; readonly user_id?: string | null | undefined; readonly user_email?: string | null | undefined };

/** Each wanted member with its user: found by id or e-mail, or a new one. */
async function knownMembers(call: ManagementCall<unknown>, access: AccessStore, wanted: readonly WantedMember[]): Promise<{ readonly members: Member[]; readonly users: { readonly row: UserRow; readonly isNew: boolean }[] }> {
  const members = new Map<string, Member>();
  const users: { row: UserRow; isNew: boolean }[] = [];
  for (const { role, user_id: id, user_email: email } of wanted) {
    if ((id ?? email ?? undefined) === undefined) throw new AppError('invalid_request', 'missing_required_parameter', "A member needs a 'user_id' or a 'user_email'.", { param: 'member' });
    const found = await findUser(access, { user_id: id, user_email: email });
    const row = found ?? userRow(id ?? randomUUID(), { user_email: email }, call.now);
    if (members.has(row.user_id)) throw new AppError('invalid_request', '400', `User '${row.user_id}' is named twice.`, { param: 'member' });
    members.set(row.user_id, { user_id: row.user_id, role });
    users.push({ row, isNew: found === undefined });
  }
  return { members: [...members.values()], users };
}

/** Writes the team into its users; makes those that are new. Returns the new ones. */
async function enrol(access: AccessStore, { id, users }: { readonly id: string; readonly users: readonly { readonly row: UserRow; readonly isNew: boolean }[] }): Promise<UserRow[]> {
  const made: UserRow[] = [];
  for (const { row, isNew } of users) {
    if (isNew) made.push(await access.insertUser({ ...row, teams: [id] }));
    else await joinTeam(access, row.user_id, [id]);
  }
  return made;
}

async function findUser(access: AccessStore, { user_id: id, user_email: email }: Pick<WantedMember, 'user_id' | 'user_email'>): Promise<UserRow | undefined> {
  if (id !== undefined && id !== null) return access.findUser(id);
  if (email === undefined || email === null) return undefined;
  const { rows, total } = await access.listUsers({ user_email: email }, { page: 1, size: 2 });
  if (total > 1) throw new AppError('invalid_request', '400', `Several users have the e-mail '${email}': name one by user_id.`, { param: 'user_email' });
  return rows[0];
}

async function memberOf(access: AccessStore, team: TeamRow, wanted: Pick<WantedMember, 'user_id' | 'user_email'>): Promise<Member> {
  if ((wanted.user_id ?? wanted.user_email ?? undefined) === undefined) throw new AppError('invalid_request', 'missing_required_parameter', "Missing required parameter: 'user_id' or 'user_email'.", { param: 'user_id' });
  const id = wanted.user_id ?? (await findUser(access, wanted))?.user_id;
  const member = team.members_with_roles.find(({ user_id }) => user_id === id);
  if (member === undefined) throw new AppError('not_found', '404', `User=${wanted.user_id ?? wanted.user_email ?? ''} not found in team=${team.team_id}.`, { param: 'user_id' });
  return member;
}

function auditUsers(call: ManagementCall<unknown>, made: readonly UserRow[]): void {
  for (const user of made) call.audit('user.create', `user:${user.user_id}`, { after: user });
}

export function teamView(row: TeamRow): Record<string, unknown> {
  return {
    ...row, organization_id: null, admins: [], members: [], max_parallel_requests: row.max_parallel_requests,
    model_id: null, litellm_model_table: Object.keys(row.aliases).length === 0 ? null : { model_aliases: row.aliases }, object_permission: null,
  };
}

function teamRecord(row: TeamRow): Record<string, unknown> {
  const { created_at: _createdAt, updated_at: _updatedAt, ...rest } = row;
  return rest;
}

function teamNotFound(id: string): AppError {
  return new AppError('not_found', '404', `Team not found, passed team id: ${id}.`, { param: 'team_id' });
}
