import { createMemoryCounters, type LimitCounters, type ScopeChecks } from '@pointsman/redis';
import type { Clock } from '@pointsman/timing';
import type { Attempts } from '../state/dependency.ts';
import { AWAY } from '../state/dependency.ts';

/** What the judge may spend in a day (UTC), of all replicas where there is a Redis. */
export interface JudgeBudget {
  /** Sets USD aside; undefined when the day has not that much left, or when it cannot be known: then nothing may be spent. */
  reserve(usd: number, maxUsdPerDay: number): Promise<{ settle(spentUsd: number): void } | undefined>;
}

const SCOPE = 'judge';
const KEEP_MS = 2 * 86_400_000;
/** Counters hold whole billionths of a USD. */
const UNIT = 1e-9;

export interface JudgeBudgetOptions {
  readonly shared: { readonly counters: LimitCounters; readonly dependency: Attempts } | undefined;
  readonly clock: Clock;
}

export function createJudgeBudget({ shared, clock }: JudgeBudgetOptions): JudgeBudget {
  const counters = shared?.counters ?? createMemoryCounters({ clock, maxEntries: 8 });
  // What this replica knows to have spent: a Redis that comes back empty begins there.
  let day = '';
  let spentHere = 0;
  return {
    async reserve(usd, maxUsdPerDay) {
      if (!(usd >= 0) || usd > maxUsdPerDay) return undefined;
      const today = new Date(clock.now()).toISOString().slice(0, 10);
      if (today !== day) [day, spentHere] = [today, 0];
      const name = `spend:${today}`;
      // A budget refuses what has reached its limit; this one refuses what would pass it.
      const scopes: ScopeChecks[] = [{ scope: SCOPE, checks: [{ kind: 'budget', name, limit: maxUsdPerDay - usd + UNIT, amount: usd, seed: spentHere, keepMs: KEEP_MS }] }];
      const ask = (): ReturnType<LimitCounters['reserve']> => counters.reserve(scopes);
      const reserved = await (shared === undefined ? ask() : shared.dependency.attempt(ask));
      if (reserved === AWAY || !reserved.allowed) return undefined;
      return {
        settle: (spentUsd) => {
          if (today === day) spentHere += spentUsd;
          const settled = counters.settle(scopes, reserved, [{ scope: SCOPE, name, amount: spentUsd }]);
          if (settled instanceof Promise) settled.catch(() => undefined);
        },
      };
    },
  };
}
