import { rankByCost } from '../../rank-by-cost.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/** Fewest requests under way first, as seen by this replica; equals in random order. */
export function createStrategy({ random }: StrategyParts): Strategy {
  const costs: number[] = []; // scratch, decide() is synchronous
  return {
    name: 'least-busy',
    decide({ candidates }) {
      for (let index = 0; index < candidates.length; index += 1) costs[index] = candidates[index]?.stats.inFlight ?? 0;
      return rankByCost({ strategy: 'least-busy', candidates, costs, random });
    },
  };
}
