import { createLearnedStrategy } from '../../learned/learned-strategy.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/**
 * A linear support vector machine per candidate over embedding and text features.
 * Source: LLMRouter's `svmrouter`.
 */
export function createStrategy(parts: StrategyParts): Strategy {
  return createLearnedStrategy('llmrouter-svm', parts);
}
