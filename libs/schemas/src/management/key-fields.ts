import { z } from 'zod';
import { duration, freeObject, limitMap, listOf, modelBudgets, money, name, nameMap, newKeyAlias, newName, queryBoolean, queryNumber, someOf } from './field-types.ts';
import { limitFields } from './limit-fields.ts';
import { defineFields } from './parse-fields.ts';

/** A key chosen by the caller: it travels in headers, so visible ASCII only. */
const chosenKey = z.string().regex(/^sk-[\x21-\x7e]{13,509}$/, "expected 'sk-' followed by visible characters, 16 to 512 in all");

const settable = {
  ...limitFields,
  key_alias: newKeyAlias.nullish(),
  /** Time until the key expires; null or `-1`: never. */
  duration: z.union([duration, z.literal('-1')]).nullish(),
  models: listOf(1_000).nullish(),
  aliases: nameMap.nullish(),
  metadata: freeObject.nullish(),
  permissions: freeObject.nullish(),
  config: freeObject.nullish(),
  tags: listOf(100).nullish(),
  allowed_routes: listOf(200).nullish(),
  key_type: z.enum(['default', 'llm_api', 'management', 'read_only']).nullish(),
  model_max_budget: modelBudgets.nullish(),
  model_rpm_limit: limitMap.nullish(),
  model_tpm_limit: limitMap.nullish(),
  user_id: newName.nullish(),
  team_id: name.nullish(),
  budget_id: name.nullish(),
  blocked: z.boolean().nullish(),
  spend: money.nullish(),
} as const;

const WITHOUT_EFFECT = `agent_id allowed_cache_controls allowed_passthrough_routes allowed_vector_store_indexes auto_rotate rotation_interval budget_fallbacks budget_limits tpd_limit
  disable_global_guardrails enforced_params guardrails key_name max_concurrent_requests mcp_rpm_limit object_permission organization_id policies project_id prompts router_settings
  rpm_limit_type tpm_limit_type access_group_ids send_invite_email temp_budget_expiry temp_budget_increase tool_permissions`;

export const keyGenerateFields = defineFields({ ...settable, key: chosenKey.nullish() }, WITHOUT_EFFECT);
export const serviceAccountFields = defineFields({ ...settable, key: chosenKey.nullish(), team_id: name }, WITHOUT_EFFECT);
export const keyUpdateFields = defineFields({ ...settable, key: name }, WITHOUT_EFFECT);
export const keyRegenerateFields = defineFields({ ...settable, key: name.nullish(), new_key: chosenKey.nullish(), grace_period: duration.nullish(), new_master_key: name.nullish() }, WITHOUT_EFFECT);
export const keyDeleteFields = defineFields({ keys: someOf(500).nullish(), key_aliases: someOf(500).nullish() });
export const keyBlockFields = defineFields({ key: name });
export const keyResetSpendFields = defineFields({ reset_to: money });
export const keyBulkUpdateFields = defineFields({
  keys: z.array(z.strictObject({ key: name, budget_id: name.nullish(), max_budget: money.nullish(), team_id: name.nullish(), tags: listOf(100).nullish() })).min(1).max(500),
});
export const keyInfoQuery = defineFields({ key: name.optional() });
export const keyListQuery = defineFields({
  page: queryNumber(1, 1_000_000).optional(),
  size: queryNumber(1, 500).optional(),
  user_id: name.optional(),
  team_id: name.optional(),
  key_alias: name.optional(),
  key_hash: name.optional(),
  return_full_object: queryBoolean.optional(),
}, 'organization_id include_team_keys include_created_by_keys sort_by sort_order expand status project_id access_group_id');
