import { createLearnedStrategy } from '../../learned/learned-strategy.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';

/**
 * A small causal language model reads the prompt; the probability of a candidate's label as the next token, among all labels, is its quality. Runs in a thread of its
 * own, over at most 256 tokens: raise `decision_timeout_ms` to what the model takes.
 * Source: the causal LLM classifier of RouteLLM (arXiv 2406.18665, section 4.2); LLMRouter's `causallm_router`.
 */
export function createStrategy(parts: StrategyParts): Strategy {
  return createLearnedStrategy('llmrouter-causallm', parts);
}
