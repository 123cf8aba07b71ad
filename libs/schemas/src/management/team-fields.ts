import { z } from 'zod';
import { freeObject, listOf, modelBudgets, name, nameMap, newName, queryNumber, someOf } from './field-types.ts';
import { limitFields } from './limit-fields.ts';
import { defineFields } from './parse-fields.ts';

const role = z.enum(['admin', 'user']);
const member = z.strictObject({ role: role.default('user'), user_id: newName.nullish(), user_email: newName.nullish() });

const settable = {
  ...limitFields,
  team_alias: newName.nullish(),
  models: listOf(1_000).nullish(),
  /** LiteLLM's name for what our rows call `aliases`. */
  model_aliases: nameMap.nullish(),
  metadata: freeObject.nullish(),
  model_max_budget: modelBudgets.nullish(),
  blocked: z.boolean().nullish(),
} as const;

const WITHOUT_EFFECT = `organization_id admins members tags guardrails policies prompts object_permission allowed_passthrough_routes allowed_vector_store_indexes router_settings secret_manager_settings
  team_member_budget team_member_budget_duration team_member_rpm_limit team_member_tpm_limit team_member_key_duration team_member_permissions tpm_limit_type rpm_limit_type
  model_rpm_limit model_tpm_limit enforced_file_expires_after enforced_batch_output_expires_after access_group_ids disable_global_guardrails budget_limits`;

export const teamNewFields = defineFields({ ...settable, team_id: newName.nullish(), members_with_roles: z.array(member).max(1_000).nullish() }, WITHOUT_EFFECT);
export const teamUpdateFields = defineFields({ ...settable, team_id: name }, WITHOUT_EFFECT);
export const teamDeleteFields = defineFields({ team_ids: someOf(500) });
export const teamBlockFields = defineFields({ team_id: name });
export const teamMemberAddFields = defineFields({ team_id: name, member: z.union([member, z.array(member).min(1).max(500)]) }, 'max_budget_in_team budget_duration allowed_models tpm_limit rpm_limit');
export const teamMemberDeleteFields = defineFields({ team_id: name, user_id: name.nullish(), user_email: name.nullish() });
export const teamMemberUpdateFields = defineFields({ team_id: name, user_id: name.nullish(), user_email: name.nullish(), role: role.nullish() }, 'max_budget_in_team budget_duration allowed_models tpm_limit rpm_limit');
export const teamInfoQuery = defineFields({ team_id: name.optional() });
export const teamListQuery = defineFields({
  user_id: name.optional(), team_alias: name.optional(), page: queryNumber(1, 1_000_000).optional(), page_size: queryNumber(1, 500).optional(),
}, 'organization_id sort_by sort_order status');
