import type { Candidate, RoutingDecision } from './strategy.ts';

export type DecisionFlaw = 'not-a-permutation' | 'bad-scores' | 'bad-propensity';

/** Up to here each candidate is one bit of a number; beyond, a set is built. */
const BITS = 30;

/** What is wrong with a decision about these candidates, if anything. Cheap enough for every request. */
export function decisionFlaw(decision: RoutingDecision, candidates: readonly Candidate[]): DecisionFlaw | undefined {
  const { order, scores, propensity } = decision;
  if (!Array.isArray(order) || order.length !== candidates.length || !isPermutation(order, candidates)) return 'not-a-permutation';
  if (!Array.isArray(scores) || scores.length !== order.length) return 'bad-scores';
  for (let index = 0; index < scores.length; index += 1) if (!Number.isFinite(scores[index])) return 'bad-scores';
  if (!(propensity > 0 && propensity <= 1)) return 'bad-propensity';
  return undefined;
}

function isPermutation(order: readonly Candidate[], candidates: readonly Candidate[]): boolean {
  if (order.length > BITS) return isLargePermutation(order, candidates);
  let seen = 0;
  for (let index = 0; index < order.length; index += 1) {
    const position = candidates.indexOf(order[index] as Candidate);
    if (position < 0) return false;
    seen |= 1 << position;
  }
  return seen === 2 ** order.length - 1;
}

function isLargePermutation(order: readonly Candidate[], candidates: readonly Candidate[]): boolean {
  const missing = new Set(candidates);
  for (const candidate of order) if (!missing.delete(candidate)) return false;
  return true;
}
