import { createLearnedStrategy } from '../../learned/learned-strategy.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/**
 * Bradley–Terry ratings, fitted anew for each prompt from the training battles, weighted by how much they are like it.
 * Source: RouteLLM (arXiv 2406.18665), similarity-weighted ranking, section 4.1; LLMRouter's `elorouter`.
 */
export function createStrategy(parts: StrategyParts): Strategy {
  return createLearnedStrategy('llmrouter-elo', parts);
}
