import { rankByCost } from '../../rank-by-cost.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/** LiteLLM's stand-in for a price it does not know, USD per token: far above every real one, so it comes last. */
const UNKNOWN_PRICE = 5;

/**
 * Cheapest first by input price + output price per token (`router_strategy/lowest_cost.py`); equals in random order.
 * An unknown price counts as 5 USD per token and so comes last. A price of 0 is a price: LiteLLM takes it for "not set"
 * and looks the model up, which makes a self-hosted deployment as dear as the vendor's.
 */
export function createStrategy({ random }: StrategyParts): Strategy {
  const costs: number[] = []; // scratch, decide() is synchronous
  return {
    name: 'cost-based-routing',
    decide({ candidates }) {
      for (let index = 0; index < candidates.length; index += 1) {
        const candidate = candidates[index];
        costs[index] = (candidate?.inputCostPerToken ?? UNKNOWN_PRICE) + (candidate?.outputCostPerToken ?? UNKNOWN_PRICE);
      }
      return rankByCost({ strategy: 'cost-based-routing', candidates, costs, random });
    },
  };
}
