import { createLearnedStrategy } from '../../learned/learned-strategy.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/**
 * Messages are passed between prompts, candidates and the tasks they belong to; a new prompt hears what its neighbours know.
 * Source: GraphRouter (arXiv 2410.03834).
 */
export function createStrategy(parts: StrategyParts): Strategy {
  return createLearnedStrategy('llmrouter-graph', parts);
}
