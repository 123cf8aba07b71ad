import type { AppError } from '@pointsman/errors';
import type { JsonObject } from '@pointsman/schemas';
import type { GroupPlan } from '../snapshot/snapshot.ts';
import type { Principal } from './principal.ts';

/** What a request says about itself before it runs. What costs work to know is a function, called only where a limit needs the answer. */
export interface AdmissionRequest {
  /** The model group that will be asked, with its deployments' prices. */
  readonly plan: GroupPlan;
  /** The body as far as it is parsed: `max_tokens`, `max_completion_tokens`, `max_output_tokens`, `n`. */
  readonly outline: JsonObject;
  /** The `user` of the body or LiteLLM's end-user headers; undefined when nobody is named. */
  readonly endUser: string | undefined;
  readonly promptTokens: () => number;
}

/** A place taken under the caller's limits; given back with what the request really used. */
export interface Admission {
  /** `x-ratelimit-*` for the reply: name, value, name, value. Undefined where the caller has no limit. */
  readonly headers: readonly string[] | undefined;
  /** Called once, before the last byte of the reply is written. */
  settle(used: { readonly totalTokens: number; readonly costUsd: number }): void;
}

/** Where rate limits, budgets and parallel limits are enforced. Answers without a promise whenever it can: always for a caller who has none. */
export interface Limits {
  /** A refusal is an expected outcome: it is returned, not thrown. */
  admit(principal: Principal, request: AdmissionRequest): Admission | AppError | Promise<Admission | AppError>;
}

export const NOTHING_TO_SETTLE: Admission = { headers: undefined, settle: () => undefined };

/** No limit is configured for anybody. */
export const unlimited: Limits = { admit: () => NOTHING_TO_SETTLE };
