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

export async function joinTeam(access: AccessStore, user: UserRow, { teamIds, now }: { readonly teamIds: readonly string[]; readonly now: Date }): Promise<void> {
  await access.updateUser(user.user_id, { teams: [...new Set([...user.teams, ...teamIds])], updated_at: now });
}

/** Takes teams out of a user's list; a user that is not there has none. */
export async function leaveTeam(access: AccessStore, { userId, teamIds, now }: { readonly userId: string; readonly teamIds: readonly string[]; readonly now: Date }): Promise<void> {
  const user = await access.findUser(userId);
  if (user?.teams.some((team) => teamIds.includes(team)) !== true) return;
  await access.updateUser(userId, { teams: user.teams.filter((team) => !teamIds.includes(team)), updated_at: now });
}
