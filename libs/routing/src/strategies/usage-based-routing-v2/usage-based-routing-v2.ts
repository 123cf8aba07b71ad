import type { Strategy, StrategyParts } from '../../strategy.ts';
import { createUsageStrategy } from '../usage-based-routing/usage-based-routing.ts';

/** LiteLLM's second name for the same choice; see `createUsageStrategy`. */
export function createStrategy(parts: StrategyParts): Strategy {
  return createUsageStrategy('usage-based-routing-v2', parts);
}
