import { z } from 'zod';
import { duration, freeObject, listOf, money, name, newKeyAlias, newName, queryNumber, someOf } from './field-types.ts';
import { limitFields } from './limit-fields.ts';
import { defineFields } from './parse-fields.ts';

const role = z.enum(['proxy_admin', 'proxy_admin_viewer', 'internal_user', 'internal_user_viewer']);
const settable = {
  ...limitFields,
  user_email: newName.nullish(),
  user_alias: newName.nullish(),
  user_role: role.nullish(),
  models: listOf(1_000).nullish(),
  metadata: freeObject.nullish(),
} as const;
const WITHOUT_EFFECT = `organization_id organizations send_invite_email sso_user_id guardrails policies prompts object_permission permissions config aliases allowed_cache_controls
  model_max_budget model_rpm_limit model_tpm_limit budget_id budget_limits blocked agent_id tags enforced_params router_settings access_group_ids password`;

export const userNewFields = defineFields({
  ...settable, user_id: newName.nullish(), teams: listOf(500).nullish(), spend: money.nullish(),
  /** LiteLLM makes a key for a new user unless told not to. */
  auto_create_key: z.boolean().nullish(), key_alias: newKeyAlias.nullish(), team_id: name.nullish(),
  /** Of the key that is made along with the user. */
  duration: duration.nullish(),
}, WITHOUT_EFFECT);
export const userUpdateFields = defineFields({ ...settable, user_id: name.nullish(), spend: money.nullish() }, `${WITHOUT_EFFECT} duration`);
export const userDeleteFields = defineFields({ user_ids: someOf(500) });
export const userInfoQuery = defineFields({ user_id: name.optional() });
export const userListQuery = defineFields({
  role: role.optional(), user_email: name.optional(), page: queryNumber(1, 1_000_000).optional(), page_size: queryNumber(1, 500).optional(),
}, 'user_ids sso_user_ids user_alias team sort_by sort_order organization_ids');
