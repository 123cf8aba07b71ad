import { createHash, randomUUID } from 'node:crypto';
import type { BudgetRow, KeyRow, SpendLine, TeamRow, UserRow } from './rows.ts';

/** Rows for tests: complete, unlimited, and different from all others of their kind. */
const none = { max_budget: null, soft_budget: null, budget_duration: null, max_parallel_requests: null, tpm_limit: null, rpm_limit: null };
const born = new Date('2026-11-01T10:00:00.123Z');

export function hashOf(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

export function keyRow(change: Partial<KeyRow> = {}): KeyRow {
  return {
    ...none, token: hashOf(randomUUID()), key_name: 'sk-...abcd', key_alias: null, spend: 0, budget_reset_at: null, model_max_budget: {}, model_rpm_limit: {}, model_tpm_limit: {}, models: [],
    aliases: {}, metadata: {}, permissions: {}, config: {}, allowed_routes: [], tags: [], user_id: null, team_id: null, budget_id: null, blocked: false, expires: null,
    created_at: born, updated_at: born, created_by: null, updated_by: null, ...change,
  };
}

export function teamRow(change: Partial<TeamRow> = {}): TeamRow {
  return {
    ...none, team_id: `team-${randomUUID()}`, team_alias: null, models: [], aliases: {}, metadata: {}, members_with_roles: [], model_max_budget: {}, spend: 0, budget_reset_at: null,
    blocked: false, created_at: born, updated_at: born, ...change,
  };
}

export function userRow(change: Partial<UserRow> = {}): UserRow {
  return {
    ...none, user_id: `user-${randomUUID()}`, user_email: null, user_alias: null, user_role: 'internal_user', models: [], metadata: {}, teams: [], spend: 0, budget_reset_at: null,
    created_at: born, updated_at: born, ...change,
  };
}

export function budgetRow(change: Partial<BudgetRow> = {}): BudgetRow {
  return { ...none, budget_id: `budget-${randomUUID()}`, model_max_budget: {}, created_at: born, updated_at: born, created_by: null, updated_by: null, ...change };
}

export function spendLine(change: Partial<SpendLine> = {}): SpendLine {
  return {
    id: randomUUID(), request_id: `req-${randomUUID()}`, trace_id: 'a'.repeat(32), call_type: 'chat', api_key: hashOf('sk-nobody'), user_id: null, team_id: null, end_user: null,
    requested_model: 'auto', model_group: 'fast', model: 'fast-1', model_id: 'deployment-1', provider: 'openai', spend: 0.25, prompt_tokens: 10, completion_tokens: 5, total_tokens: 15,
    cached_tokens: 0, reasoning_tokens: 0, usage_estimated: false, cache_hit: false, stream: true, status: 'success', error_code: null, tags: [],
    start_time: '2026-11-23T10:00:00.000Z', completion_start_time: null, end_time: '2026-11-23T10:00:01.000Z', ...change,
  };
}
