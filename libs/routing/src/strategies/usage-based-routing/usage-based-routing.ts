import { rankByCost } from '../../rank-by-cost.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/** Beyond any number of tokens in a minute: what is over its limit comes after everything that is not. */
const OVER_LIMIT = 1e12;

export function createStrategy(parts: StrategyParts): Strategy {
  return createUsageStrategy('usage-based-routing', parts);
}

/**
 * Fewest tokens used in the current minute first; equals in random order. What would go over its `rpm` or `tpm` with
 * this request comes last (LiteLLM drops it; here the filter `enforceRateLimits` does, so that the reason is recorded).
 *
 * Serves `usage-based-routing` and `-v2` alike: LiteLLM's two differ in where they count (v1 a request when it has
 * succeeded, v2 when it is sent, across replicas through Redis). This one counts requests when they are sent, so that a
 * burst cannot overshoot, and per replica.
 */
export function createUsageStrategy(name: string, { random, now }: StrategyParts): Strategy {
  const costs: number[] = []; // scratch, decide() is synchronous
  return {
    name,
    decide(input) {
      const { candidates } = input;
      const nowMs = now();
      for (let index = 0; index < candidates.length; index += 1) {
        const candidate = candidates[index];
        if (candidate === undefined) continue;
        const { stats, rpm, tpm } = candidate;
        const tokens = stats.tokensThisMinute(nowMs);
        const isOverLimit =
          (rpm !== undefined && stats.requestsThisMinute(nowMs) + 1 > rpm) || (tpm !== undefined && tokens + input.promptTokens() > tpm);
        costs[index] = isOverLimit ? OVER_LIMIT + tokens : tokens;
      }
      return rankByCost({ strategy: name, candidates, costs, random });
    },
  };
}
