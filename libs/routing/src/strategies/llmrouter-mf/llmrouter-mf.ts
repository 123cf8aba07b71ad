import { createLearnedStrategy } from '../../learned/learned-strategy.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/**
 * Matrix factorisation: prompt and candidate meet in a common space, quality is bilinear in both.
 * Source: RouteLLM (arXiv 2406.18665), section 4.2; LLMRouter's `mfrouter`.
 */
export function createStrategy(parts: StrategyParts): Strategy {
  return createLearnedStrategy('llmrouter-mf', parts);
}
