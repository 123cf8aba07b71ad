import { z } from 'zod';
import { name, queryBoolean, queryDate, queryNumber } from './field-types.ts';
import { defineFields } from './parse-fields.ts';

const span = { start_date: queryDate.optional(), end_date: queryDate.optional() } as const;

export const spendLogsQuery = defineFields({
  ...span,
  api_key: name.optional(), user_id: name.optional(), team_id: name.optional(), request_id: name.optional(),
  /** LiteLLM's default: true where both dates are given. */
  summarize: queryBoolean.optional(),
  page: queryNumber(1, 1_000_000).optional(),
  page_size: queryNumber(1, 500).optional(),
}, 'min_spend max_spend status_filter model model_id key_alias end_user error_code error_message sort_by sort_order');
export const spendSumsQuery = defineFields({ ...span, limit: queryNumber(1, 500).optional() }, 'end_user api_key internal_user_id group_by');
export const spendUsersQuery = defineFields({ ...span, user_id: name.optional(), limit: queryNumber(1, 500).optional() });
export const spendTotalQuery = defineFields(span);

const tokens = z.int().min(0);
export const spendCalculateFields = defineFields({
  model: name.nullish(),
  messages: z.array(z.looseObject({ role: z.string() })).max(10_000).nullish(),
  completion_response: z.looseObject({
    model: name.nullish(),
    usage: z.looseObject({ prompt_tokens: tokens.nullish(), completion_tokens: tokens.nullish(), total_tokens: tokens.nullish() }).nullish(),
  }).nullish(),
}, 'call_type');
