import type { AppError } from '@pointsman/errors';
import type { DegradedMode } from '@pointsman/gateway-config';
import type { LimitCounters, Refusal, Reservation, Standing } from '@pointsman/redis';
import type { Clock } from '@pointsman/timing';
import type { GatewayMetrics } from '../record/gateway-metrics.ts';
import type { GroupPlan } from '../snapshot/snapshot.ts';
import { AWAY, type Attempts } from '../state/dependency.ts';
import { CostEstimates, wantedTokens } from './cost-estimates.ts';
import type { KeyLimits } from './key-limits.ts';
import { askFor, planLimits, scopeOf, usedBy, type Asked, type Demand, type LimitPlan } from './limit-plan.ts';
import { limitRefused, standingHeaders } from './limit-replies.ts';
import { NOTHING_TO_SETTLE, type Admission, type AdmissionRequest, type Limits } from './limits.ts';
import type { Principal } from './principal.ts';

export interface CountedLimitsOptions {
  /** Counters that all replicas share, and what tells whether they are there. Undefined where this process is alone. */
  readonly shared: { readonly counters: LimitCounters; readonly dependency: Attempts } | undefined;
  /** Counters in the memory of this process: the only ones where nothing is shared, and what is left while Redis is away. */
  readonly memory: LimitCounters;
  /** How many replicas there were when they could last hear each other. */
  readonly replicas: () => number;
  readonly degradedMode: () => DegradedMode;
  readonly clock: Clock;
  /** Unique per process: part of every lease. */
  readonly replicaId: string;
  readonly metrics: Pick<GatewayMetrics, 'limited'>;
}

/** Renewed every 10 s while the request runs: the places of a replica that died are free after this. */
const SHARED_LEASE_MS = 30_000;
/** In memory nothing outlives the process, and nothing renews: longer than a request lasts. */
const LOCAL_LEASE_MS = 3_600_000;

/** Rate limits, parallel limits and budgets of keys, teams and users. Callers without limits cost a property read. */
export class CountedLimits implements Limits {
  readonly #options: CountedLimitsOptions;
  readonly #plans = new WeakMap<KeyLimits, LimitPlan | WeakMap<GroupPlan, LimitPlan>>();
  readonly #estimates = new CostEstimates();
  #leases = 0;

  constructor(options: CountedLimitsOptions) {
    this.#options = options;
  }

  admit({ limits }: Principal, request: AdmissionRequest): Admission | AppError | Promise<Admission | AppError> {
    if (limits === undefined) return NOTHING_TO_SETTLE;
    const plan = this.#planOf(limits, request.plan);
    if (plan.scopes.length === 0) return NOTHING_TO_SETTLE;
    const { shared, memory } = this.#options;
    const asked = this.#ask(plan, request, 'whole');
    if (shared === undefined) return this.#decide(asked, { plan, request, counters: memory });
    if (asked === undefined) return NOTHING_TO_SETTLE;
    const { counters } = shared;
    const outcome = shared.dependency.attempt(() => counters.reserve(asked.scopes));
    if (outcome instanceof Promise) return outcome.then((answer) => (answer === AWAY ? this.#withoutShared(plan, request) : this.#reply(answer, { asked, plan, request, counters })));
    return outcome === AWAY ? this.#withoutShared(plan, request) : this.#reply(outcome, { asked, plan, request, counters });
  }

  /** Redis is away: this process counts what it can. Budgets always hold, by what the database knew and what was booked here since. */
  #withoutShared(plan: LimitPlan, request: AdmissionRequest): Admission | AppError | Promise<Admission | AppError> {
    const asked = this.#ask(plan, request, this.#options.degradedMode().rateLimitsWithoutRedis === 'local' ? 'share' : 'budgets');
    return this.#decide(asked, { plan, request, counters: this.#options.memory });
  }

  #decide(asked: Asked | undefined, parts: { readonly plan: LimitPlan; readonly request: AdmissionRequest; readonly counters: LimitCounters }): Admission | AppError | Promise<Admission | AppError> {
    if (asked === undefined) return NOTHING_TO_SETTLE;
    const answer = parts.counters.reserve(asked.scopes);
    return answer instanceof Promise ? answer.then((late) => this.#reply(late, { asked, ...parts })) : this.#reply(answer, { asked, ...parts });
  }

  #ask(plan: LimitPlan, { plan: group, outline, promptTokens }: AdmissionRequest, mode: 'whole' | 'share' | 'budgets'): Asked | undefined {
    if (plan.constant !== undefined && mode === 'whole') return { scopes: plan.constant, tokens: [], budgets: [], hasLease: false };
    this.#leases += 1;
    const demand: Demand = {
      tokens: plan.hasTokens ? promptTokens() + (wantedTokens(outline) ?? 0) : 0,
      costUsd: plan.hasBudgets ? this.#estimates.estimate(group, outline, promptTokens()) : 0,
      lease: `${this.#options.replicaId}:${String(this.#leases)}`,
      leaseMs: mode === 'whole' && this.#options.shared !== undefined ? SHARED_LEASE_MS : LOCAL_LEASE_MS,
      now: this.#options.clock.now(),
      share: mode === 'share' ? Math.max(1, this.#options.replicas()) : 1,
      budgetsOnly: mode === 'budgets',
    };
    return askFor(plan, demand);
  }

  #reply(answer: Reservation | Refusal, { asked, plan, request, counters }: { readonly asked: Asked; readonly plan: LimitPlan; readonly request: AdmissionRequest; readonly counters: LimitCounters }): Admission | AppError {
    if (!answer.allowed) {
      const limits = scopeOf(plan, answer.refused);
      const { kind, name } = answer.refused.check;
      this.#options.metrics.limited(limits?.kind ?? 'global', kind === 'window' ? (name.startsWith('tokens') ? 'tokens' : 'requests') : kind);
      return limitRefused(answer.refused, limits, this.#options.clock.now());
    }
    const headers = standingHeaders(answer.standings, (standing: Standing) => scopeOf(plan, standing)?.kind ?? 'global');
    if (asked.tokens.length === 0 && asked.budgets.length === 0 && !asked.hasLease) return headers === undefined ? NOTHING_TO_SETTLE : { headers, settle: nothing };
    return new CountedAdmission(headers, { asked, reservation: answer, counters, estimates: this.#estimates, group: request.plan });
  }

  #planOf(limits: KeyLimits, group: GroupPlan): LimitPlan {
    let known = this.#plans.get(limits);
    if (known === undefined) {
      known = limits.dependsOnModel ? new WeakMap<GroupPlan, LimitPlan>() : planLimits(limits, group);
      this.#plans.set(limits, known);
    }
    if (!(known instanceof WeakMap)) return known;
    let plan = known.get(group);
    if (plan === undefined) {
      plan = planLimits(limits, group);
      known.set(group, plan);
    }
    return plan;
  }
}

function nothing(): void {
  // a request window keeps what it counted
}

interface AdmissionParts {
  readonly asked: Asked;
  readonly reservation: Reservation;
  readonly counters: LimitCounters;
  readonly estimates: CostEstimates;
  readonly group: GroupPlan;
}

class CountedAdmission implements Admission {
  readonly headers: readonly string[] | undefined;
  #parts: AdmissionParts | undefined;

  constructor(headers: readonly string[] | undefined, parts: AdmissionParts) {
    this.headers = headers;
    this.#parts = parts;
  }

  settle(used: { readonly totalTokens: number; readonly costUsd: number }): void {
    const parts = this.#parts;
    if (parts === undefined) return;
    this.#parts = undefined;
    const { asked, reservation, counters, estimates, group } = parts;
    if (asked.budgets.length > 0) {
      // A request that failed cost nothing and says nothing about the next.
      if (used.costUsd > 0) estimates.learn(group, used.costUsd);
      for (const { account, name } of asked.budgets) account.book(name, used.costUsd);
    }
    const sent = counters.settle(asked.scopes, reservation, usedBy(asked, used));
    // The counters keep what they could not send; what they give up ends by itself: windows and leases in time, budgets when the database's figure comes back with the next seed.
    if (sent instanceof Promise) sent.catch(nothing);
  }
}
