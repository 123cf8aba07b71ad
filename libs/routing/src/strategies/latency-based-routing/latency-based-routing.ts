import { rankByCost } from '../../rank-by-cost.ts';
import { numberArg } from '../../strategy-args.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/**
 * Fastest first: by milliseconds per completion token, or by time to first token when the client asked for a stream and
 * it is known. A deployment without fresh samples counts as 0 and is tried first, as in LiteLLM
 * (`router_strategy/lowest_latency.py`); timeouts count as 1000 s for a minute.
 *
 * Arguments: `ttl`, seconds that a sample counts (3600); `lowest_latency_buffer`, the share above the lowest latency
 * within which the first is drawn evenly (0 = the fastest only).
 */
export function createStrategy({ random, now, args }: StrategyParts): Strategy {
  const ttlMs = numberArg(args, 'ttl', { fallback: 3_600, min: 0 }) * 1_000;
  const buffer = numberArg(args, 'lowest_latency_buffer', { fallback: 0, min: 0, max: 1_000 });
  const costs: number[] = []; // scratch, decide() is synchronous

  return {
    name: 'latency-based-routing',
    decide({ candidates, stream }) {
      const nowMs = now();
      let lowest = Number.POSITIVE_INFINITY;
      // One measure for all: a time to first token and a time per token do not compare.
      const byFirstToken = stream === true && candidates.some(({ stats }) => stats.ttftMs(nowMs, ttlMs) !== undefined);
      for (let index = 0; index < candidates.length; index += 1) {
        const stats = candidates[index]?.stats;
        const latency = (byFirstToken ? stats?.ttftMs(nowMs, ttlMs) : stats?.msPerToken(nowMs, ttlMs)) ?? 0;
        costs[index] = latency;
        if (latency < lowest) lowest = latency;
      }
      return rankByCost({ strategy: 'latency-based-routing', candidates, costs, random, tolerance: buffer * lowest });
    },
  };
}
