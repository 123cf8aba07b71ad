import { aggregatorsOf, mayDecompose, readMultiroundArgs } from '../../compound/multiround-args.ts';
import type { Decomposition } from '../../compound/compound.ts';
import { splitQuestion } from '../../compound/split-question.ts';
import { createLearnedStrategy } from '../../learned/learned-strategy.ts';
import type { RoutingDecision, Strategy, StrategyParts } from '../../strategy.ts';

const NAME = 'llmrouter-knn-multiround';

/**
 * Takes a question apart by rule (points of a list, several sentences that ask), routes every part like `llmrouter-knn`, and has one model answer with what the parts
 * found. A question that is one is routed as `llmrouter-knn` routes it. Arguments: those of `llmrouter-knn`, and `aggregator`, `max_parts`, `max_calls`,
 * `parts_timeout_ms`, `max_cost_usd`.
 * Source: LLMRouter's `knnmultiroundrouter`, which asks a local model to take questions apart; rules cost no call.
 * @throws AppError for arguments out of range.
 */
export function createStrategy(parts: StrategyParts): Strategy {
  const { aggregator, limits } = readMultiroundArgs(parts.args);
  const learned = createLearnedStrategy(NAME, parts);
  return {
    name: NAME,
    decide(input) {
      const found = mayDecompose(input) ? splitQuestion(input.prompt(), limits.maxParts) : [];
      const decision = learned.decide(input);
      if (found.length < 2) return decision;
      const compound: Decomposition = { kind: 'decomposition', parts: found, aggregators: aggregatorsOf(input.candidates, aggregator), ...limits };
      const withParts = (made: RoutingDecision): RoutingDecision => ({ ...made, compound });
      return decision instanceof Promise ? decision.then(withParts) : withParts(decision);
    },
  };
}
