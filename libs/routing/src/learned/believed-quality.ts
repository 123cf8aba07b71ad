import type { Candidate } from '../strategy.ts';

/** What stands in for a price that nobody knows when models are compared by it: below every real one there is nothing to tell. */
const LEAST_PRICE = 1e-9;

/**
 * How strong each candidate is believed to be among these, 0 (weakest) to 1 (strongest): by `quality_score` where every candidate has one, else by the logarithm of
 * the price, which vendors set by strength. All alike: 0.5 each.
 */
export function relativeStrength(candidates: readonly Candidate[]): readonly number[] {
  const byQuality = candidates.every(({ priorQuality }) => priorQuality !== undefined);
  const measure = candidates.map((candidate) => (byQuality ? candidate.priorQuality ?? 0 : Math.log(priceOf(candidate))));
  const [least, most] = [Math.min(...measure), Math.max(...measure)];
  return most - least < 1e-12 ? measure.map(() => 0.5) : measure.map((value) => (value - least) / (most - least));
}

function priceOf({ inputCostPerToken = 0, outputCostPerToken = 0 }: Candidate): number {
  return Math.max(LEAST_PRICE, inputCostPerToken + outputCostPerToken);
}

/**
 * The quality that a candidate is believed to have before anything was learned about it: what the operator says (`quality_score`), else between 0.5 and 0.8 by
 * its strength among the others. It is a starting point to be explored from, not a verdict.
 */
export function believedQuality(candidates: readonly Candidate[]): readonly number[] {
  const strength = relativeStrength(candidates);
  return candidates.map(({ priorQuality }, index) => priorQuality ?? 0.5 + 0.3 * (strength[index] ?? 0.5));
}
