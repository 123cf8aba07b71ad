import type { AccessStore, UserRow } from '@pointsman/database';
import type { FieldsOf, userUpdateFields } from '@pointsman/schemas';
import { limitChange, NO_LIMITS, resetChange } from './limit-change.ts';
import { given, givenOrEmpty } from './row-changes.ts';

export type UserFields = Omit<FieldsOf<typeof userUpdateFields>, 'user_id'>;
export type UserChange = Partial<Omit<UserRow, 'user_id' | 'created_at'>>;

const DEFAULT_ROLE = 'internal_user';

export function userChange(fields: UserFields, now: Date): UserChange {
  return {
    ...limitChange(fields), ...resetChange(fields, now), ...given(fields, ['user_email', 'user_alias']),
    ...givenOrEmpty(fields, { user_role: DEFAULT_ROLE, models: [], metadata: {}, spend: 0 }),
  };
}

export function userRow(userId: string, fields: UserFields, now: Date): UserRow {
  return {
    ...NO_LIMITS, user_id: userId, user_email: null, user_alias: null, user_role: DEFAULT_ROLE, models: [], metadata: {}, teams: [], spend: 0, budget_reset_at: null,
    ...userChange(fields, now), created_at: now, updated_at: now,
  };
}

export async function joinTeam(access: AccessStore, userId: string, teamIds: readonly string[]): Promise<void> {
  await access.changeUserTeams(userId, (teams) => [...new Set([...teams, ...teamIds])]);
}

/** Takes teams out of a user's list; a user that is not there has none. */
export async function leaveTeam(access: AccessStore, userId: string, teamIds: readonly string[]): Promise<void> {
  await access.changeUserTeams(userId, (teams) => (teams.some((team) => teamIds.includes(team)) ? teams.filter((team) => !teamIds.includes(team)) : teams));
}
