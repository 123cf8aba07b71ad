import type { AccessStore, KeyAccess, KeyRow, ModelBudgets } from '@pointsman/database';
import { matchesPattern } from '../../access/name-pattern.ts';
import { after } from './expiry.ts';
import type { KeyChange, KeyFields } from './key-rows.ts';
import type { ManagementCall } from './management-call.ts';

type Call = ManagementCall<unknown>;

const LIMITS = ['max_budget', 'tpm_limit', 'rpm_limit', 'max_parallel_requests'] as const;
const MAPS = ['model_rpm_limit', 'model_tpm_limit'] as const;
/** LiteLLM's words in `models` for all that there is, or all that the team may. */
const ALL_MODELS = new Set(['all-proxy-models', 'all-team-models', '*']);
const NO_MODELS = 'no-default-models';

/** What holds for the key of a caller who is no administrator, and so for every key that it makes, changes or rotates. */
export interface OwnBounds {
  readonly token: string;
  readonly limits: { readonly [Limit in typeof LIMITS[number]]: number | null };
  readonly budgetDuration: string | null;
  readonly modelBudgets: ModelBudgets;
  readonly maps: { readonly [Name in typeof MAPS[number]]: Readonly<Record<string, number>> };
  /** Undefined: all. */
  readonly models: readonly string[] | undefined;
  readonly expires: Date | null;
}

/**
 * The bounds of the caller's own key as the database has them now, those of its budget row included; undefined for administrators.
 * @throws AppError `forbidden` when the key is gone.
 */
export async function ownBounds(call: Call, access: AccessStore, resource: string): Promise<OwnBounds | undefined> {
  if (call.isAdmin) return undefined;
  const own = await access.findAccess(call.principal.access?.key.token ?? call.principal.keyHash);
  if (own === undefined) throw call.deny(resource, 'Your own key is not there any more.');
  return readBounds(own);
}

function readBounds({ key, budget }: KeyAccess): OwnBounds {
  const limit = (name: typeof LIMITS[number]): number | null => key[name] ?? budget?.[name] ?? null;
  const isOpen = key.models.length === 0 || key.models.some((model) => ALL_MODELS.has(model));
  return {
    token: key.token, expires: key.expires,
    limits: { max_budget: limit('max_budget'), tpm_limit: limit('tpm_limit'), rpm_limit: limit('rpm_limit'), max_parallel_requests: limit('max_parallel_requests') },
    budgetDuration: key.budget_duration ?? budget?.budget_duration ?? null,
    modelBudgets: Object.keys(key.model_max_budget).length > 0 ? key.model_max_budget : budget?.model_max_budget ?? {},
    maps: { model_rpm_limit: key.model_rpm_limit, model_tpm_limit: key.model_tpm_limit },
    models: isOpen ? undefined : key.models,
  };
}

/** A new key gets from its maker's key what the request leaves open. */
export function withOwnBounds<Fields extends KeyFields>(fields: Fields, bounds: OwnBounds): Fields {
  const filled: Fields = { ...fields };
  const { limits, modelBudgets, maps, models } = bounds;
  // A budget that is named without a period is one for good, which is less than one that comes again.
  if (limits.max_budget !== null && (filled.max_budget ?? null) === null && (filled.budget_duration ?? null) === null) filled.budget_duration = bounds.budgetDuration;
  for (const name of LIMITS) filled[name] ??= limits[name];
  if (models !== undefined && (filled.models ?? []).length === 0) filled.models = [...models];
  if (isEmpty(filled.model_max_budget)) filled.model_max_budget = modelBudgets;
  for (const name of MAPS) if (isEmpty(filled[name])) filled[name] = { ...maps[name] };
  return filled;
}

/** A new key ends no later than its maker's, unless the request says when. */
export function expiryWithin(row: KeyRow, { expires }: OwnBounds): Date | null {
  return expires !== null && (row.expires === null || row.expires > expires) ? expires : row.expires;
}

/**
 * Refuses what reaches above the caller's own key, also for that key itself: to lower it is allowed. Only what `change` names is judged.
 * @throws AppError `forbidden`, audited.
 */
export function checkWithinOwn(call: Call, bounds: OwnBounds, { change, resource }: { readonly change: KeyChange; readonly resource: string }): void {
  const refuse = (field: string, reason: string): Error => call.deny(resource, `${field}: ${reason}`);
  for (const name of LIMITS) {
    const most = bounds.limits[name];
    const value = change[name];
    if (most === null || value === undefined) continue;
    if (value === null) throw refuse(name, `your own key has ${String(most)}, so no key that you change can be without.`);
    if (value > most) throw refuse(name, `${String(value)} is above your own key's ${String(most)}.`);
  }
  const { budget_duration: period } = change;
  if (bounds.limits.max_budget !== null && period !== undefined && isSooner(period, bounds.budgetDuration)) throw refuse('budget_duration', `a period may not be shorter than your own key's (${bounds.budgetDuration ?? 'none: its budget is for good'}).`);
  if (change.model_max_budget !== undefined) {
    for (const [model, most] of Object.entries(bounds.modelBudgets)) {
      const value = Object.hasOwn(change.model_max_budget, model) ? change.model_max_budget[model] : undefined;
      if (value === undefined || value.max_budget > most.max_budget || isSooner(value.budget_duration, most.budget_duration)) throw refuse('model_max_budget', `the budget of ${model} is above your own key's ${String(most.max_budget)}.`);
    }
  }
  for (const name of MAPS) {
    const values = change[name];
    if (values === undefined) continue;
    for (const [model, most] of Object.entries(bounds.maps[name])) {
      const value = Object.hasOwn(values, model) ? values[model] : undefined;
      if (value === undefined || value > most) throw refuse(name, `the limit of ${model} is above your own key's ${String(most)}.`);
    }
  }
  const { models } = bounds;
  if (models !== undefined) {
    if (change.models?.length === 0) throw refuse('models', 'none named means all of the team\'s, and your own key may not use all.');
    const beyond = [...(change.models ?? []), ...Object.values(change.aliases ?? {})]
      .find((model) => model !== NO_MODELS && (ALL_MODELS.has(model) || !models.some((allowed) => allowed === model || matchesPattern(allowed, model))));
    if (beyond !== undefined) throw refuse('models', `your own key may not use '${beyond}'.`);
  }
  if (bounds.expires !== null && change.expires !== undefined && (change.expires === null || change.expires > bounds.expires)) throw refuse('duration', `a key may not outlive your own, which expires ${bounds.expires.toISOString()}.`);
}

/** Whether a budget with this period comes again sooner than one with the other. */
function isSooner(period: string | null, than: string | null): boolean {
  if (period === null) return false;
  if (than === null) return true;
  const start = new Date(0);
  return after(start, period) < after(start, than);
}

function isEmpty(value: object | null | undefined): boolean {
  return value === undefined || value === null || Object.keys(value).length === 0;
}
