import { createLearnedStrategy } from '../../learned/learned-strategy.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/**
 * Several models of different kinds, their scores brought to one scale and added: the default, since it is the best on every set that was measured.
 * Source: docs/routing-quality.md.
 */
export function createStrategy(parts: StrategyParts): Strategy {
  return createLearnedStrategy('llmrouter-hybrid', parts);
}
