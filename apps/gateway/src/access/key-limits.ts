import { nextBudgetReset, type KeyAccess, type LimitColumns, type ModelBudgets } from '@pointsman/database';
import type { WindowCheck } from '@pointsman/redis';

/** Whose limit it is. */
export type ScopeKind = 'key' | 'team' | 'user' | 'global';

export const WINDOW_MS = 60_000;

/** A budget and where its count stands, as far as the database and this process know. */
export class BudgetAccount {
  readonly limit: number;
  readonly #revision: string;
  readonly #model: string | undefined;
  readonly #duration: string | undefined;
  #endsAt: number;
  #spent: number;
  #name: string;

  constructor({ limit, revision, model, duration, endsAt, spent }: { readonly limit: number; readonly revision: Date; readonly model: string | undefined; readonly duration: string | undefined; readonly endsAt: number | undefined; readonly spent: number }) {
    this.limit = limit;
    this.#revision = revision.getTime().toString(36);
    this.#model = model;
    this.#duration = duration;
    this.#endsAt = endsAt ?? Infinity;
    this.#spent = spent;
    this.#name = this.#named();
  }

  /**
   * The name of its counter. The period is part of it, so that a new period starts from zero on all replicas; it moves on by itself when a period ends. So is the last
   * change of the row: where somebody set the spend back, counting begins anew from what the database says.
   */
  nameAt(now: number): string {
    if (now >= this.#endsAt) {
      this.#endsAt = periodEnd(this.#duration, this.#endsAt, now);
      this.#spent = 0;
      this.#name = this.#named();
    }
    return this.#name;
  }

  /** USD that were certainly spent in this period: what the database knew when the key was read, and what this process has booked since. */
  get spent(): number {
    return this.#spent;
  }

  /** Counts what a request cost, if its period still runs. */
  book(name: string, costUsd: number): void {
    if (name === this.#name) this.#spent += costUsd;
  }

  #named(): string {
    const model = this.#model === undefined ? '' : `:${this.#model}`;
    const period = this.#endsAt === Infinity ? '' : `:${String(Math.floor(this.#endsAt / 1000))}`;
    return `spend.${this.#revision}${model}${period}`;
  }
}

export interface TokenLimit {
  readonly name: string;
  readonly limit: number;
}

/** The limits of one scope that hold for every request, or for requests of one model. */
export interface Bounds {
  readonly requests: readonly WindowCheck[];
  readonly tokens: readonly TokenLimit[];
  readonly parallel: number | undefined;
  readonly budgets: readonly BudgetAccount[];
}

export interface ScopeLimits {
  /** The name of the scope in the counters: `team:t1`. */
  readonly scope: string;
  readonly kind: ScopeKind;
  /** What messages show: the hash of a key, the id of a team or user. */
  readonly id: string;
  readonly always: Bounds;
  readonly perModel: ReadonlyMap<string, Bounds>;
}

/** What limits a caller, worked out once when its key is read. */
export interface KeyLimits {
  readonly scopes: readonly ScopeLimits[];
  /** False: the same checks hold whatever model is asked for. */
  readonly dependsOnModel: boolean;
}

/** The limits in the rows behind a key; undefined where there are none. Limits of a key's budget row hold where the key has none of its own, as in LiteLLM. */
export function readKeyLimits({ key, team, user, budget, model_spend }: KeyAccess, now: number): KeyLimits | undefined {
  const spendOf = (scope: 'key' | 'team'): ReadonlyMap<string, { readonly spend: number; readonly period_start: Date | null }> =>
    new Map(model_spend.filter((entry) => entry.scope === scope).map((entry) => [entry.model, entry]));
  const ownModels = Object.keys(key.model_max_budget).length > 0 ? key.model_max_budget : budget?.model_max_budget ?? {};
  const scopes = [
    readScope({
      kind: 'key', id: key.token, revision: key.updated_at, now, spend: key.spend, resetAt: key.budget_reset_at, modelBudgets: ownModels, modelSpend: spendOf('key'),
      columns: withDefaults(key, budget), modelRpm: key.model_rpm_limit, modelTpm: key.model_tpm_limit,
    }),
    team === undefined ? undefined : readScope({
      kind: 'team', id: team.team_id, revision: team.updated_at, now, spend: team.spend, resetAt: team.budget_reset_at, columns: team, modelBudgets: team.model_max_budget, modelSpend: spendOf('team'),
      modelRpm: numbersOf(team.metadata['model_rpm_limit']), modelTpm: numbersOf(team.metadata['model_tpm_limit']),
    }),
    // A user's budget is for personal keys: what a team's key spends is the team's.
    user === undefined ? undefined : readScope({
      kind: 'user', id: user.user_id, revision: user.updated_at, now, spend: user.spend, resetAt: user.budget_reset_at, columns: key.team_id === null ? user : { ...user, max_budget: null },
      modelBudgets: {}, modelSpend: new Map(), modelRpm: {}, modelTpm: {},
    }),
  ].filter((scope) => scope !== undefined);
  return scopes.length === 0 ? undefined : { scopes, dependsOnModel: scopes.some(({ perModel }) => perModel.size > 0) };
}

function withDefaults(key: LimitColumns, budget: LimitColumns | undefined): LimitColumns {
  if (budget === undefined) return key;
  return {
    max_budget: key.max_budget ?? budget.max_budget, soft_budget: key.soft_budget ?? budget.soft_budget, budget_duration: key.budget_duration ?? budget.budget_duration,
    max_parallel_requests: key.max_parallel_requests ?? budget.max_parallel_requests, tpm_limit: key.tpm_limit ?? budget.tpm_limit, rpm_limit: key.rpm_limit ?? budget.rpm_limit,
  };
}

interface ScopeRow {
  readonly kind: ScopeKind;
  readonly id: string;
  /** When the row was last changed by somebody. */
  readonly revision: Date;
  readonly now: number;
  readonly columns: LimitColumns;
  readonly spend: number;
  readonly resetAt: Date | null;
  readonly modelBudgets: ModelBudgets;
  readonly modelSpend: ReadonlyMap<string, { readonly spend: number; readonly period_start: Date | null }>;
  readonly modelRpm: Readonly<Record<string, number>>;
  readonly modelTpm: Readonly<Record<string, number>>;
}

function readScope({ kind, id, revision, now, columns, spend, resetAt, modelBudgets, modelSpend, modelRpm, modelTpm }: ScopeRow): ScopeLimits | undefined {
  const { rpm_limit, tpm_limit, max_parallel_requests, max_budget, budget_duration } = columns;
  const always: Bounds = {
    requests: rpm_limit === null ? [] : [requestsCheck('requests', rpm_limit)],
    tokens: tpm_limit === null ? [] : [{ name: 'tokens', limit: tpm_limit }],
    parallel: max_parallel_requests ?? undefined,
    budgets: max_budget === null ? [] : [new BudgetAccount({ limit: max_budget, revision, model: undefined, duration: budget_duration ?? undefined, endsAt: resetAt?.getTime(), spent: spend })],
  };
  const perModel = new Map<string, Bounds>();
  for (const model of new Set([...Object.keys(modelBudgets), ...Object.keys(modelRpm), ...Object.keys(modelTpm)])) {
    const budget = Object.hasOwn(modelBudgets, model) ? modelBudgets[model] : undefined;
    const rpm = Object.hasOwn(modelRpm, model) ? modelRpm[model] : undefined;
    const tpm = Object.hasOwn(modelTpm, model) ? modelTpm[model] : undefined;
    perModel.set(model, {
      requests: rpm === undefined ? [] : [requestsCheck(`requests:${model}`, rpm)],
      tokens: tpm === undefined ? [] : [{ name: `tokens:${model}`, limit: tpm }],
      parallel: undefined,
      budgets: budget === undefined ? [] : [modelAccount(budget, { model, revision, now, known: modelSpend.get(model) })],
    });
  }
  const isFree = always.requests.length === 0 && always.tokens.length === 0 && always.parallel === undefined && always.budgets.length === 0 && perModel.size === 0;
  // The name becomes a hash tag of Redis keys: an id with braces must not break out of it.
  return isFree ? undefined : { scope: `${kind}:${encodeURIComponent(id.toWellFormed())}`, kind, id, always, perModel };
}

function requestsCheck(name: string, limit: number): WindowCheck {
  return { kind: 'window', name, limit, amount: 1, windowMs: WINDOW_MS };
}

interface ModelFacts {
  readonly model: string;
  readonly revision: Date;
  readonly now: number;
  /** What the database knows to be spent on the model, and since when. */
  readonly known: { readonly spend: number; readonly period_start: Date | null } | undefined;
}

function modelAccount({ max_budget, budget_duration }: ModelBudgets[string], { model, revision, now, known }: ModelFacts): BudgetAccount {
  const duration = budget_duration ?? undefined;
  if (duration === undefined) return new BudgetAccount({ limit: max_budget, revision, model, duration, endsAt: undefined, spent: known?.spend ?? 0 });
  const endOfKnown = known?.period_start === null || known?.period_start === undefined ? undefined : safeNext(duration, known.period_start.getTime());
  if (endOfKnown !== undefined && endOfKnown > now) return new BudgetAccount({ limit: max_budget, revision, model, duration, endsAt: endOfKnown, spent: known?.spend ?? 0 });
  return new BudgetAccount({ limit: max_budget, revision, model, duration, endsAt: safeNext(duration, now), spent: known !== undefined && known.period_start === null ? known.spend : 0 });
}

const DAY_MS = 86_400_000;

/** The end of the period that `now` lies in, counted on from one that is over: as the database moves it on, so that both name the same period. */
function periodEnd(duration: string | undefined, ended: number, now: number): number {
  if (duration === undefined) return Infinity;
  let next = safeNext(duration, ended);
  if (next === undefined) return Infinity;
  if (next <= now && next - ended <= DAY_MS) return safeNext(duration, now) ?? Infinity;
  while (next <= now) {
    const after = safeNext(duration, next);
    if (after === undefined || after <= next) return Infinity;
    next = after;
  }
  return next;
}

function safeNext(duration: string, from: number): number | undefined {
  try {
    return nextBudgetReset(duration, new Date(from)).getTime();
  } catch {
    return undefined;
  }
}

/** A team's limits per model are in its metadata, where LiteLLM keeps them: whatever else is there is not ours. */
function numbersOf(value: unknown): Record<string, number> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {};
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, number] => typeof entry[1] === 'number' && entry[1] >= 0));
}
