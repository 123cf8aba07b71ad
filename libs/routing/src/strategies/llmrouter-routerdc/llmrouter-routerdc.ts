import { createLearnedStrategy } from '../../learned/learned-strategy.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/**
 * Prompts and candidates are embedded by dual contrastive learning: a candidate's quality is how near it lies to the prompt.
 * Source: RouterDC (arXiv 2409.19886).
 */
export function createStrategy(parts: StrategyParts): Strategy {
  return createLearnedStrategy('llmrouter-routerdc', parts);
}
