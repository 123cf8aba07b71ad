import { rankBySize } from '../../learned/rank-by-size.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/**
 * The smallest candidate, whatever is asked: by the size that `llm_candidates.json` states, else by price.
 * Source: LLMRouter's `smallest_llm` baseline. Equals share by weight.
 */
export function createStrategy({ random }: StrategyParts): Strategy {
  return { name: 'llmrouter-smallest', decide: ({ candidates }) => rankBySize({ strategy: 'llmrouter-smallest', candidates, prefer: 'smallest', random }) };
}
