import { aggregatorsOf, mayDecompose, plannerOf, readMultiroundArgs } from '../../compound/multiround-args.ts';
import type { Decomposition } from '../../compound/compound.ts';
import { createLearnedStrategy } from '../../learned/learned-strategy.ts';
import { numberArg } from '../../strategy-args.ts';
import type { RoutingDecision, Strategy, StrategyParts } from '../../strategy.ts';

const NAME = 'llmrouter-llm-multiround';
/** Characters. Shorter questions are one question, and a call to hear that would cost more than their answer. */
const DEFAULT_MIN_LENGTH = 80;

/**
 * Asks a planner (the argument `planner`, else the cheapest candidate) to take a question apart, routes every part by the learned decision, and has one model answer
 * with what the parts found. An answer of the planner that is not the JSON that was asked for leaves the question whole. Arguments: those of the learned strategies, and
 * `planner`, `aggregator`, `min_question_characters`, `max_parts`, `max_calls`, `parts_timeout_ms`, `max_cost_usd`.
 * Source: LLMRouter's `llmmultiroundrouter`.
 * @throws AppError for arguments out of range.
 */
export function createStrategy(parts: StrategyParts): Strategy {
  const { planner, aggregator, limits } = readMultiroundArgs(parts.args);
  const minLength = numberArg(parts.args, 'min_question_characters', { fallback: DEFAULT_MIN_LENGTH, min: 0 });
  const learned = createLearnedStrategy(NAME, parts);
  return {
    name: NAME,
    decide(input) {
      const decision = learned.decide(input);
      if (!mayDecompose(input) || input.prompt().length < minLength) return decision;
      const compound: Decomposition = { kind: 'decomposition', planner: plannerOf(input.candidates, planner), aggregators: aggregatorsOf(input.candidates, aggregator), ...limits };
      const withPlan = (made: RoutingDecision): RoutingDecision => ({ ...made, compound });
      return decision instanceof Promise ? decision.then(withPlan) : withPlan(decision);
    },
  };
}
