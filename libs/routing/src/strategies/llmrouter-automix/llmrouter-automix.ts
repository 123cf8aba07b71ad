import type { Cascade, HeldAnswer, Verdict } from '../../compound/compound.ts';
import { judgeAnswer } from '../../compound/judge-answer.ts';
import { judgeByRule } from '../../compound/judge-by-rule.ts';
import { VERIFIER_STRATEGY } from '../../compound/verifier-extractor.ts';
import { believedQuality } from '../../learned/believed-quality.ts';
import { chooseArm } from '../../learned/choose-arm.ts';
import { chooseByUtility } from '../../learned/choose-by-utility.ts';
import { expectedCost, relativeCosts } from '../../learned/expected-cost.ts';
import { numberArg, objectArg, textArg } from '../../strategy-args.ts';
import type { Candidate, RoutingInput, Strategy, StrategyParts } from '../../strategy.ts';

const NAME = 'llmrouter-automix';
/** Prices that differ by less are the same: deployments of one model stand in for each other, an escalation between them would be none. */
const SAME_PRICE = 1.05;
const DEFAULT_THRESHOLD = 0.15;

/**
 * A cascade: the cheapest candidate answers, a learned verifier looks at its answer, and only where the next dearer one is worth it is that one asked.
 * The order is by expected price; a candidate that is dearer than another and believed to be no better stands at the end, for when others fail.
 *
 * `model_name` names an artifact of the strategy `llmrouter-automix` (a verifier over `ANSWER_FEATURES`); without one a rule decides (`judgeByRule`).
 * Source: AutoMix (arXiv 2310.12963), whose few-shot self-verification by a model is replaced by a head on features of the answer: no second call; LLMRouter's `automix`.
 * @throws AppError for arguments out of range.
 */
export function createStrategy({ args, random, models }: StrategyParts): Strategy {
  const modelName = textArg(args, 'model_name');
  const stable = textArg(args, 'model_version');
  const canaryArgs = objectArg(args, 'canary');
  const canaryVersion = canaryArgs === undefined ? undefined : textArg(canaryArgs, 'model_version');
  const canary = canaryArgs === undefined || canaryVersion === undefined ? undefined : { version: canaryVersion, weight: numberArg(canaryArgs, 'weight', { fallback: 0, min: 0, max: 100 }) };
  const threshold = numberArg(args, 'escalation_threshold', { fallback: DEFAULT_THRESHOLD, min: -1, max: 1 });
  const maxAnswers = numberArg(args, 'max_answers', { fallback: 2, min: 1, max: 8 });
  const holdLength = numberArg(args, 'max_held_characters', { fallback: 262_144, min: 1, max: 8_388_608 });
  const verdictTimeoutMs = numberArg(args, 'verdict_timeout_ms', { fallback: 250, min: 1, max: 10_000 });

  /** The verifier that serves now, if any; what is borrowed is given back after the verdict. */
  const judge = (version: string | undefined) => (held: HeldAnswer): Verdict | Promise<Verdict> => {
    const lease = modelName === undefined ? undefined : models?.acquire(modelName, version);
    if (lease === undefined) return judgeByRule(held);
    if (lease.value.manifest.strategy !== VERIFIER_STRATEGY) {
      lease.release();
      return judgeByRule(held);
    }
    return judgeAnswer(lease.value, held, threshold).finally(() => lease.release());
  };

  const versionServing = (version: string | undefined): string => {
    const lease = modelName === undefined ? undefined : models?.acquire(modelName, version);
    if (lease === undefined) return '';
    const { manifest } = lease.value;
    lease.release();
    return manifest.strategy === VERIFIER_STRATEGY ? manifest.version : '';
  };

  return {
    name: NAME,
    decide(input) {
      const { candidates } = input;
      const chain = chainOf(input);
      const { order, propensity } = chooseByUtility({ utilities: chain.utilities, weights: candidates.map(({ weight }) => weight ?? 1), exploration: 0, temperature: 1, random });
      const version = chooseArm({ stable, canary }, input.user ?? input.traceId);
      const dearerThan = (by: Candidate): readonly Candidate[] => {
        const least = (chain.shares[candidates.indexOf(by)] ?? Infinity) * SAME_PRICE;
        return order.filter((index) => chain.isStep[index] === true && (chain.shares[index] ?? 0) > least).map((index) => candidates[index] as Candidate);
      };
      const isWorthIt = maxAnswers > 1 && dearerThan(candidates[order[0] ?? 0] as Candidate).length > 0;
      const cascade: Cascade | undefined = isWorthIt ? { kind: 'cascade', maxAnswers, dearerThan, holdLength, verdictTimeoutMs, judge: judge(version) } : undefined;
      return {
        order: order.map((index) => candidates[index] as Candidate), scores: order.map((index) => chain.utilities[index] ?? 0),
        strategy: NAME, modelVersion: versionServing(version), propensity,
        explained: { quality: order.map((index) => chain.quality[index] ?? 0), costUsd: order.map((index) => chain.costs[index]), costWeight: 1, isSticky: false },
        ...(cascade === undefined ? {} : { compound: cascade }),
      };
    },
  };
}

interface Chain {
  /** Cheap first: minus the share of the highest price, and 2 less for those that no escalation leads to. */
  readonly utilities: readonly number[];
  /** Prices as shares of the highest. */
  readonly shares: readonly number[];
  readonly quality: readonly number[];
  readonly costs: readonly (number | undefined)[];
  /** Whether an escalation may lead to it: nobody cheaper is believed to be as good. */
  readonly isStep: readonly boolean[];
}

function chainOf({ candidates, promptTokens }: RoutingInput): Chain {
  const tokens = promptTokens();
  const costs = candidates.map((candidate) => expectedCost(candidate, tokens));
  const shares = relativeCosts(costs);
  const quality = believedQuality(candidates);
  const isStep = candidates.map((_, index) => !shares.some((share, other) => share < (shares[index] ?? 0) && (quality[other] ?? 0) >= (quality[index] ?? 0)));
  return { utilities: shares.map((share, index) => -share - (isStep[index] === true ? 0 : 2)), shares, quality, costs, isStep };
}
