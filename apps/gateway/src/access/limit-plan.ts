import type { BudgetCheck, LimitCheck, ScopeChecks, Standing, Used, WindowCheck } from '@pointsman/redis';
import type { GroupPlan } from '../snapshot/snapshot.ts';
import { WINDOW_MS, type Bounds, type BudgetAccount, type KeyLimits, type ScopeLimits } from './key-limits.ts';

/** A counter of a budget is needed as long as its replicas may have spent what the database does not know yet. */
const KEEP_BUDGET_MS = 86_400_000;

/** What is checked in one scope for requests of one model group. */
export interface PlannedScope {
  readonly limits: ScopeLimits;
  readonly bounds: readonly Bounds[];
  /** Where nothing changes from request to request: the very checks. */
  readonly constant: ScopeChecks | undefined;
}

/** What is checked for one caller and one model group: worked out once, filled in per request. */
export interface LimitPlan {
  readonly scopes: readonly PlannedScope[];
  /** The checks, where none changes from request to request: nothing has to be made or settled then. */
  readonly constant: readonly ScopeChecks[] | undefined;
  readonly hasTokens: boolean;
  readonly hasBudgets: boolean;
}

/** What one request asks for. */
export interface Demand {
  readonly tokens: number;
  readonly costUsd: number;
  readonly lease: string;
  readonly leaseMs: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** How many replicas share each rate limit; 1: the whole limit. Budgets are never shared out: what was spent is known. */
  readonly share: number;
  /** Budgets only: rate limits are off. */
  readonly budgetsOnly: boolean;
}

/** A budget that a request reserved from, with the name of the period it was in. */
export interface ReservedBudget {
  readonly account: BudgetAccount;
  readonly scope: string;
  readonly name: string;
}

/** The checks of one request and what has to be corrected when it ends. */
export interface Asked {
  readonly scopes: readonly ScopeChecks[];
  readonly tokens: readonly { readonly scope: string; readonly name: string }[];
  readonly budgets: readonly ReservedBudget[];
  readonly hasLease: boolean;
}

export function planLimits({ scopes }: KeyLimits, plan: GroupPlan): LimitPlan {
  const planned: PlannedScope[] = [];
  for (const limits of scopes) {
    const ofModel = boundsOfModel(limits, plan);
    const bounds = ofModel === undefined ? [limits.always] : [limits.always, ofModel];
    if (bounds.every(isFree)) continue;
    const isConstant = bounds.every(({ tokens, parallel, budgets }) => tokens.length === 0 && parallel === undefined && budgets.length === 0);
    planned.push({ limits, bounds, constant: isConstant ? { scope: limits.scope, checks: bounds.flatMap(({ requests }) => requests) } : undefined });
  }
  const constant = planned.map((scope) => scope.constant);
  return {
    scopes: planned,
    constant: constant.every((checks) => checks !== undefined) ? constant : undefined,
    hasTokens: planned.some(({ bounds }) => bounds.some(({ tokens }) => tokens.length > 0)),
    hasBudgets: planned.some(({ bounds }) => bounds.some(({ budgets }) => budgets.length > 0)),
  };
}

/** Limits per model name a group, or a model as a deployment names it: `gpt-4o` and `openai/gpt-4o` where the group is `openai/*`. */
export function boundsOfModel({ perModel }: Pick<ScopeLimits, 'perModel'>, { group, deployments }: GroupPlan): Bounds | undefined {
  if (perModel.size === 0) return undefined;
  const ofGroup = perModel.get(group);
  if (ofGroup !== undefined) return ofGroup;
  for (const { configured } of deployments) {
    const found = perModel.get(configured.configuredModel) ?? perModel.get(configured.model);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isFree({ requests, tokens, parallel, budgets }: Bounds): boolean {
  return requests.length === 0 && tokens.length === 0 && parallel === undefined && budgets.length === 0;
}

/** Fills in what one request asks for. Undefined where nothing is left to ask: rate limits off, no budget. */
export function askFor(plan: LimitPlan, demand: Demand): Asked | undefined {
  const scopes: ScopeChecks[] = [];
  const tokens: { scope: string; name: string }[] = [];
  const budgets: ReservedBudget[] = [];
  let hasLease = false;
  for (const { limits: { scope }, bounds, constant } of plan.scopes) {
    if (constant !== undefined && demand.share === 1 && !demand.budgetsOnly) {
      scopes.push(constant);
      continue;
    }
    const checks: LimitCheck[] = [];
    for (const bound of bounds) {
      if (!demand.budgetsOnly) {
        for (const check of bound.requests) checks.push(demand.share === 1 ? check : { ...check, limit: shareOf(check.limit, demand.share) });
        for (const { name, limit } of bound.tokens) {
          checks.push(tokensCheck(name, shareOf(limit, demand.share), demand.tokens));
          tokens.push({ scope, name });
        }
        if (bound.parallel !== undefined) {
          checks.push({ kind: 'parallel', name: 'parallel', limit: shareOf(bound.parallel, demand.share), lease: demand.lease, leaseMs: demand.leaseMs });
          hasLease = true;
        }
      }
      for (const account of bound.budgets) {
        const name = account.nameAt(demand.now);
        checks.push(budgetCheck(account, name, demand.costUsd));
        budgets.push({ account, scope, name });
      }
    }
    if (checks.length > 0) scopes.push({ scope, checks });
  }
  return scopes.length === 0 ? undefined : { scopes, tokens, budgets, hasLease };
}

/** Rounded down, so that all replicas together stay within the limit; one request must be possible wherever one is allowed. */
function shareOf(limit: number, share: number): number {
  return share === 1 ? limit : Math.min(limit, Math.max(1, Math.floor(limit / share)));
}

/** A request that asks for more than a whole window has needs an empty one; it would be refused for ever otherwise. */
function tokensCheck(name: string, limit: number, tokens: number): WindowCheck {
  return { kind: 'window', name, limit, amount: Math.min(tokens, limit), windowMs: WINDOW_MS };
}

function budgetCheck(account: BudgetAccount, name: string, costUsd: number): BudgetCheck {
  return { kind: 'budget', name, limit: account.limit, amount: costUsd, seed: account.spent, keepMs: KEEP_BUDGET_MS };
}

/** What a request really used, for the counters to be corrected by. */
export function usedBy({ tokens, budgets }: Asked, used: { readonly totalTokens: number; readonly costUsd: number }): readonly Used[] {
  const list: Used[] = [];
  for (const { scope, name } of tokens) list.push({ scope, name, amount: used.totalTokens });
  for (const { scope, name } of budgets) list.push({ scope, name, amount: used.costUsd });
  return list;
}

/** Which of a caller's limits a standing is about. */
export function scopeOf(plan: LimitPlan, { scope }: Standing): ScopeLimits | undefined {
  return plan.scopes.find(({ limits }) => limits.scope === scope)?.limits;
}
