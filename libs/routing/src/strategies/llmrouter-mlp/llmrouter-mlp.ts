import { createLearnedStrategy } from '../../learned/learned-strategy.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/**
 * Small neural networks, averaged, over embedding and text features: one output per candidate.
 * Source: LLMRouter's `mlprouter`.
 */
export function createStrategy(parts: StrategyParts): Strategy {
  return createLearnedStrategy('llmrouter-mlp', parts);
}
