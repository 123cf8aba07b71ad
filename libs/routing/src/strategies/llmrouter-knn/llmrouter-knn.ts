import { createLearnedStrategy } from '../../learned/learned-strategy.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/**
 * Nearest neighbours: the quality of a candidate is the mean of what it scored on the training prompts most like this one (k ≈ 100, cosine).
 * Source: "Simple kNN beats complex learned routers" (arXiv 2505.12601); LLMRouter's `knnrouter`.
 */
export function createStrategy(parts: StrategyParts): Strategy {
  return createLearnedStrategy('llmrouter-knn', parts);
}
