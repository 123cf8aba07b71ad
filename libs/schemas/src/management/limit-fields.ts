import { duration, limit, money } from './field-types.ts';

/** What keys, teams, users and budgets have in common. */
export const limitFields = {
  max_budget: money.nullish(),
  soft_budget: money.nullish(),
  budget_duration: duration.nullish(),
  max_parallel_requests: limit.max(2_147_483_647).nullish(),
  tpm_limit: limit.nullish(),
  rpm_limit: limit.nullish(),
} as const;
