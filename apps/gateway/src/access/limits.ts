import type { AppError } from '@pointsman/errors';
import type { Principal } from './principal.ts';

/** A place taken under the caller's limits; given back with what the request really used. */
export interface Admission {
  settle(used: { readonly totalTokens: number; readonly costUsd: number }): void;
}

/** Where rate limits, budgets and parallel limits are enforced. Answers without a promise whenever it can. */
export interface Limits {
  /** A refusal is an expected outcome: it is returned, not thrown. */
  admit(principal: Principal, request: { readonly group: string; readonly promptTokens: () => number }): Admission | AppError | Promise<Admission | AppError>;
}

const nothingToSettle: Admission = { settle: () => undefined };

/** No limit is configured for anybody. */
export const unlimited: Limits = { admit: () => nothingToSettle };
