import type { DecisionLog } from './decision-log.ts';
import type { Policy } from './policy.ts';
import { studentQuantile } from './student-quantile.ts';

/** A value with its 95 % interval. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly standardError: number;
}

export interface Estimates {
  /** Inverse propensity scoring: unbiased where propensities are right, noisy. */
  readonly ips: Estimate;
  /** Self-normalised: Swaminathan and Joachims, NIPS 2015. */
  readonly snips: Estimate;
  /** Doubly robust: Dudík, Langford and Li, ICML 2011. Right when either the propensities or the model of the reward are. */
  readonly dr: Estimate;
}

export interface Weights {
  /** π(a|x) / p, cut at `cut`. */
  readonly weight: Float64Array;
  readonly cut: number;
  /** Rows whose weight was cut. */
  readonly clipped: number;
  /** (Σw)² / Σw²: as many rows drawn by the policy itself would tell as much (Kish 1965). */
  readonly effectiveRows: number;
  /** Mean weight with its standard error: 1 where everything the policy would do was tried. */
  readonly mean: number;
  readonly meanError: number;
}

/** Weights below this are never cut, however few rows there are. */
const LEAST_CUT = 10;

/**
 * Importance weights of a policy, cut at √n, which keeps the estimate consistent and its variance finite (Ionides, Journal of Computational and Graphical
 * Statistics 2008). Cutting makes IPS too small where it happens, and DR lean on its model.
 */
export function importanceWeights(log: DecisionLog, policy: Policy): Weights {
  const rows = log.decisions.length;
  const cut = Math.max(LEAST_CUT, Math.sqrt(rows));
  let clipped = 0;
  const weight = Float64Array.from(log.decisions, ({ propensity, copies }, row) => {
    if (policy.kind === 'logged') return 1;
    const raw = policy.probability[row * log.models.length + log.action[row]!]! / (copies * propensity);
    if (raw > cut) clipped += 1;
    return Math.min(cut, raw);
  });
  let sum = 0;
  let squares = 0;
  weight.forEach((value, row) => {
    const counted = value * log.sampleWeight[row]!;
    sum += counted;
    squares += counted * counted;
  });
  const { value: mean, standardError: meanError } = weightedMean(weight, log.sampleWeight, rows);
  return { weight, cut, clipped, effectiveRows: squares === 0 ? 0 : (sum * sum) / squares, mean, meanError };
}

/** What each row says of a policy's value; estimates are their (weighted) mean. Differences of two policies are taken row by row, which keeps what both share out of the noise. */
export function doublyRobustTerms(log: DecisionLog, policy: Policy, { weight }: Weights, outcome: Float64Array, model: Float64Array): Float64Array {
  const width = log.models.length;
  return outcome.map((value, row) => {
    // On what it did itself there is nothing to correct.
    if (policy.kind === 'logged') return value;
    let direct = 0;
    for (let column = 0; column < width; column += 1) direct += policy.probability[row * width + column]! * model[row * width + column]!;
    return direct + weight[row]! * (value - model[row * width + log.action[row]!]!);
  });
}

/**
 * IPS, SNIPS and DR of a policy from what was logged under another. `outcome` per row; `model` predicts it, rows × models. Intervals are asymptotic: the
 * variance of the rows' terms (for SNIPS of its linearisation), with Student's t for as many degrees of freedom as the weights leave effective rows.
 */
export function estimateValue(log: DecisionLog, policy: Policy, weights: Weights, outcome: Float64Array, model: Float64Array): Estimates {
  const { weight, effectiveRows, mean } = weights;
  const weighted = weight.map((value, row) => value * outcome[row]!);
  const ips = weightedMean(weighted, log.sampleWeight, effectiveRows);
  const ratio = mean === 0 ? 0 : ips.value / mean;
  const around = weightedMean(weight.map((value, row) => (mean === 0 ? 0 : (value * (outcome[row]! - ratio)) / mean)), log.sampleWeight, effectiveRows);
  return {
    ips, snips: { value: ratio, low: ratio + around.low - around.value, high: ratio + around.high - around.value, standardError: around.standardError },
    dr: weightedMean(doublyRobustTerms(log, policy, weights, outcome, model), log.sampleWeight, effectiveRows),
  };
}

/** Mean of terms whose rows stand for different numbers of requests, with its 95 % interval by linearisation. */
export function weightedMean(terms: Float64Array, sampleWeight: Float64Array, effectiveRows: number): Estimate {
  let total = 0;
  let sum = 0;
  terms.forEach((term, row) => {
    total += sampleWeight[row]!;
    sum += sampleWeight[row]! * term;
  });
  const value = sum / total;
  let squares = 0;
  terms.forEach((term, row) => {
    squares += (sampleWeight[row]! * (term - value)) ** 2;
  });
  const standardError = (Math.sqrt(squares) / total) * Math.sqrt(terms.length / Math.max(1, terms.length - 1));
  const reach = studentQuantile(effectiveRows - 1) * standardError;
  return { value, low: value - reach, high: value + reach, standardError };
}
