import { AppError } from '@pointsman/errors';
import type { Bounds, KeyLimits, ScopeLimits } from '../access/key-limits.ts';
import { boundsOfModel } from '../access/limit-plan.ts';
import type { Admission, AdmissionRequest, Limits } from '../access/limits.ts';
import type { Principal } from '../access/principal.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import type { GroupPlan } from '../snapshot/snapshot.ts';

/** What is told of a request's use: the figures of its record, which grow from attempt to attempt. */
type Used = Pick<ExchangeRecord, 'usage' | 'costUsd'>;

interface Held {
  readonly admission: Admission;
  /** What the request had used before the group was entered. */
  readonly tokensBefore: number;
  readonly costBefore: number;
}

const NO_MODELS: ReadonlyMap<string, Bounds> = new Map();

/**
 * A caller's limits per model for the groups that one request falls back to. Its other limits were asked when it began and are not asked twice: a request that
 * falls back is still one request, and would wait for its own place. Nor is a limit that holds for two groups of the walk.
 */
export class FallbackLimits {
  readonly #limits: Limits;
  readonly #principal: Principal;
  readonly #keyLimits: KeyLimits;
  readonly #request: AdmissionRequest;
  readonly #asked = new Set<Bounds>();
  readonly #held: Held[] = [];

  private constructor(limits: Limits, principal: Principal, keyLimits: KeyLimits, request: AdmissionRequest) {
    this.#limits = limits;
    this.#principal = principal;
    this.#keyLimits = keyLimits;
    this.#request = request;
    for (const scope of keyLimits.scopes) {
      const bounds = boundsOfModel(scope, request.plan);
      if (bounds !== undefined) this.#asked.add(bounds);
    }
  }

  /** `request` is the one that was admitted. Undefined for a caller without limits per model: nearly everybody. */
  static of(limits: Limits, principal: Principal, request: AdmissionRequest): FallbackLimits | undefined {
    return principal.limits?.dependsOnModel === true ? new FallbackLimits(limits, principal, principal.limits, request) : undefined;
  }

  /** Asks for a group before it is tried. Undefined where nothing is to be asked; true when it may be tried, else the refusal. */
  admit(plan: GroupPlan, used: Used): true | AppError | Promise<true | AppError> | undefined {
    const scopes: ScopeLimits[] = [];
    const fresh: Bounds[] = [];
    for (const scope of this.#keyLimits.scopes) {
      const bounds = boundsOfModel(scope, plan);
      if (bounds === undefined || this.#asked.has(bounds)) continue;
      fresh.push(bounds);
      scopes.push({ ...scope, always: bounds, perModel: NO_MODELS });
    }
    if (scopes.length === 0) return undefined;
    const admitted = this.#limits.admit({ ...this.#principal, limits: { scopes, dependsOnModel: false } }, { ...this.#request, plan });
    return admitted instanceof Promise ? admitted.then((answer) => this.#keep(answer, fresh, used)) : this.#keep(admitted, fresh, used);
  }

  #keep(answer: Admission | AppError, bounds: readonly Bounds[], { usage, costUsd }: Used): true | AppError {
    if (answer instanceof AppError) return answer;
    for (const asked of bounds) this.#asked.add(asked);
    this.#held.push({ admission: answer, tokensBefore: usage?.totalTokens ?? 0, costBefore: costUsd ?? 0 });
    return true;
  }

  /** Gives each group's place back with what was used there. Called at the end of the request, and again for a place that came after it. */
  settle({ usage, costUsd }: Used): void {
    let tokensAfter = usage?.totalTokens ?? 0;
    let costAfter = costUsd ?? 0;
    for (let held = this.#held.pop(); held !== undefined; held = this.#held.pop()) {
      held.admission.settle({ totalTokens: tokensAfter - held.tokensBefore, costUsd: costAfter - held.costBefore });
      tokensAfter = held.tokensBefore;
      costAfter = held.costBefore;
    }
  }
}
