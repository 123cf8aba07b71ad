import { rankBySize } from '../../learned/rank-by-size.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/**
 * The largest candidate, whatever is asked: by the size that `llm_candidates.json` states, else by price.
 * Source: LLMRouter's `largest_llm` baseline. Equals share by weight.
 */
export function createStrategy({ random }: StrategyParts): Strategy {
  return { name: 'llmrouter-largest', decide: ({ candidates }) => rankBySize({ strategy: 'llmrouter-largest', candidates, prefer: 'largest', random }) };
}
