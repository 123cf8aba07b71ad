import { nextBudgetReset, type LimitColumns } from '@pointsman/database';
import { given } from './row-changes.ts';

type LimitFields = { readonly [Column in keyof LimitColumns]?: LimitColumns[Column] | undefined };

export const NO_LIMITS: LimitColumns = { max_budget: null, soft_budget: null, budget_duration: null, max_parallel_requests: null, tpm_limit: null, rpm_limit: null };

export function limitChange(fields: LimitFields): Partial<LimitColumns> {
  return given(fields, ['max_budget', 'soft_budget', 'budget_duration', 'max_parallel_requests', 'tpm_limit', 'rpm_limit']);
}

/** A new period begins when its length is set; null ends periods. */
export function resetChange(fields: Pick<LimitFields, 'budget_duration'>, now: Date): { budget_reset_at?: Date | null } {
  const { budget_duration } = fields;
  if (budget_duration === undefined) return {};
  return { budget_reset_at: budget_duration === null ? null : nextBudgetReset(budget_duration, now) };
}
