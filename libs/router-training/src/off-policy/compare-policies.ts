import { AppError } from '@pointsman/errors';
import { costWeight } from '@pointsman/routing';
import { expectedCost, fitCosts, type CostModel } from './costs.ts';
import type { DecisionLog } from './decision-log.ts';
import { doublyRobustTerms, estimateValue, importanceWeights, weightedMean, type Estimate, type Estimates, type Weights } from './estimate.ts';
import { greedyPolicy, LOGGED_POLICY, mixPolicies, type Policy } from './policy.ts';
import { crossFittedReward } from './reward-model.ts';

export interface ComparePoliciesOptions {
  /** Only decisions that were drawn: `wasDrawn`. */
  readonly log: DecisionLog;
  /** Predicted quality by the candidate, decisions × models. */
  readonly candidate: Float64Array;
  /** By the router that serves; without it the candidate is compared with what was done. */
  readonly serving?: Float64Array | undefined;
  /** `quality_cost_tradeoff` that both serve with, 0 to 1; 0.5 by default. */
  readonly tradeoff?: number | undefined;
  readonly folds?: number | undefined;
  readonly seed?: number | undefined;
}

/** What a policy would get, from what another one got. */
export interface PolicyReport {
  /** 0 to 1. */
  readonly quality: Estimates;
  /** USD per request. */
  readonly cost: Estimates;
  /** USD per request with each model's mean cost: what "equal cost" means here. */
  readonly expectedCost: number;
  readonly effectiveRows: number;
  readonly meanWeight: number;
  readonly clipped: number;
  /** Share of requests by model. */
  readonly shares: Readonly<Record<string, number>>;
  /** Models that it would choose and that were hardly ever tried. */
  readonly unsupported: readonly string[];
}

export interface PolicyComparison {
  readonly rows: number;
  readonly tradeoff: number;
  readonly candidate: PolicyReport;
  readonly serving: PolicyReport;
  /** The candidate with price weighed so that it costs what serving costs, or less where it cannot cost as much. */
  readonly candidateAtEqualCost: PolicyReport;
  /** Doubly robust, row by row: candidate − serving. */
  readonly difference: { readonly quality: Estimate; readonly cost: Estimate; readonly qualityAtEqualCost: Estimate };
  /** The candidate at tradeoffs from 0 to 1: doubly robust. */
  readonly curve: readonly { readonly tradeoff: number; readonly cost: number; readonly quality: Estimate }[];
  readonly warnings: readonly string[];
}

const CURVE_POINTS = 21;
/** Tradeoffs among which equal cost is looked for; between two of them decisions are shared out. */
const SEARCH_POINTS = 101;
const FOLDS = 5;
/** Decisions for a model below which nothing is known of it. */
const LEAST_TRIES = 10;
/** Share of a policy's choices below which a model does not matter. */
const LEAST_SHARE = 0.01;

/**
 * A candidate router against the one that serves, on decisions that neither need have made: quality, cost, and quality at equal cost, by IPS, SNIPS and doubly robust
 * estimates. Deterministic for a seed.
 * @throws AppError `nothing_drawn` below ten decisions
 */
export function comparePolicies({ log, candidate, serving, tradeoff = 0.5, folds = FOLDS, seed = 1 }: ComparePoliciesOptions): PolicyComparison {
  if (log.decisions.length < 10) {
    throw new AppError('unprocessable', 'nothing_drawn', `Only ${String(log.decisions.length)} decisions of this time were drawn among several models: what another router would have got cannot be told. Set exploration in routing_strategy_args.`);
  }
  const costs = fitCosts(log);
  const reward = Float64Array.from(log.decisions, (decision) => decision.reward);
  const rewardModel = crossFittedReward(log, { folds, seed });
  const spent = Float64Array.from(log.decisions, ({ costUsd }, row) => costUsd ?? costs.perModel[log.action[row]!]!);
  const costModel = Float64Array.from(rewardModel, (_, at) => costs.perModel[at % log.models.length]!);
  const measure = (policy: Policy): Measured => {
    const weights = importanceWeights(log, policy);
    return { policy, weights, quality: doublyRobustTerms(log, policy, weights, reward, rewardModel), cost: doublyRobustTerms(log, policy, weights, spent, costModel) };
  };
  const describe = ({ policy, weights }: Measured): PolicyReport => ({
    quality: estimateValue(log, policy, weights, reward, rewardModel), cost: estimateValue(log, policy, weights, spent, costModel), expectedCost: expectedCost(log, policy, costs),
    effectiveRows: weights.effectiveRows, meanWeight: weights.mean, clipped: weights.clipped, ...sharesOf(log, policy),
  });
  const greedy = (quality: Float64Array, at: number): Policy => greedyPolicy(log, quality, costs.perModel, costWeight(at));

  const now = measure(serving === undefined ? LOGGED_POLICY : greedy(serving, tradeoff));
  const next = measure(greedy(candidate, tradeoff));
  const same = measure(atCost(log, (at) => greedy(candidate, at), costs, expectedCost(log, now.policy, costs)));
  const difference = (a: Float64Array, b: Float64Array, rows: number): Estimate => weightedMean(a.map((value, row) => value - b[row]!), log.sampleWeight, rows);
  const [nextReport, nowReport, sameReport] = [describe(next), describe(now), describe(same)];
  return {
    rows: log.decisions.length, tradeoff, candidate: nextReport, serving: nowReport, candidateAtEqualCost: sameReport,
    difference: {
      quality: difference(next.quality, now.quality, Math.min(next.weights.effectiveRows, now.weights.effectiveRows)), cost: difference(next.cost, now.cost, Math.min(next.weights.effectiveRows, now.weights.effectiveRows)),
      qualityAtEqualCost: difference(same.quality, now.quality, Math.min(same.weights.effectiveRows, now.weights.effectiveRows)),
    },
    curve: Array.from({ length: CURVE_POINTS }, (_, point) => {
      const at = point / (CURVE_POINTS - 1);
      const { policy, weights, quality } = measure(greedy(candidate, at));
      return { tradeoff: at, cost: expectedCost(log, policy, costs), quality: weightedMean(quality, log.sampleWeight, weights.effectiveRows) };
    }),
    warnings: [
      ...warningsOf('the candidate', nextReport, next.weights, log), ...warningsOf('the candidate at equal cost', sameReport, same.weights, log), ...(serving === undefined ? [] : warningsOf('serving', nowReport, now.weights, log)),
      ...(costs.unknown.length === 0 ? [] : [`nobody saw what a request to ${costs.unknown.join(', ')} costs: taken to be the dearest`]),
    ],
  };
}

interface Measured {
  readonly policy: Policy;
  readonly weights: Weights;
  readonly quality: Float64Array;
  readonly cost: Float64Array;
}

/** The policy of a family, by tradeoff, that is expected to cost just so much: two neighbours, mixed. The dearest of the family where even that one costs less. */
function atCost(log: DecisionLog, family: (tradeoff: number) => Policy, costs: CostModel, target: number): Policy {
  let dearer: { readonly policy: Policy; readonly cost: number } | undefined;
  for (let point = SEARCH_POINTS - 1; point >= 0; point -= 1) {
    const policy = family(point / (SEARCH_POINTS - 1));
    const cost = expectedCost(log, policy, costs);
    if (cost <= target * (1 + 1e-9)) return dearer === undefined || dearer.cost - cost < 1e-15 ? policy : mixPolicies(dearer.policy, policy, (target - cost) / (dearer.cost - cost));
    dearer = { policy, cost };
  }
  return family(0);
}

function sharesOf({ models, action, sampleWeight, decisions }: DecisionLog, policy: Policy): Pick<PolicyReport, 'shares' | 'unsupported'> {
  const tried = new Int32Array(models.length);
  const share = new Float64Array(models.length);
  for (let row = 0; row < action.length; row += 1) {
    tried[action[row]!]! += 1;
    for (let model = 0; model < models.length; model += 1) {
      const probability = policy.kind === 'logged' ? Number(action[row] === model) : policy.probability[row * models.length + model]!;
      share[model]! += (sampleWeight[row]! * probability) / decisions.length;
    }
  }
  return { shares: Object.fromEntries(models.map((model, column) => [model, share[column]!])), unsupported: models.filter((_, column) => share[column]! >= LEAST_SHARE && tried[column]! < LEAST_TRIES) };
}

function warningsOf(who: string, { unsupported, shares }: PolicyReport, { mean, meanError, clipped, cut }: Weights, { decisions }: DecisionLog): string[] {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const warnings = unsupported.map((model) => `${who} would send ${percent(shares[model]!)} of requests to ${model}, which was tried fewer than ${String(LEAST_TRIES)} times: its quality there is a guess`);
  if (mean + 3 * meanError < 0.95) warnings.push(`of what ${who} would choose only about ${percent(mean)} was ever tried: the rest is the model of the reward, not what was seen`);
  if (clipped > 0.01 * decisions.length) warnings.push(`${String(clipped)} of ${String(decisions.length)} weights of ${who} were cut at ${cut.toFixed(0)}: explore more`);
  return warnings;
}
