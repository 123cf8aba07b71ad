/** Scores closer than this are equal: what float32 leaves of the same prediction made twice. */
const SAME = 1e-9;

export interface UtilityChoice {
  /** Indices, best first; the first is the choice. */
  readonly order: readonly number[];
  /** Probability with which the first was picked. */
  readonly propensity: number;
}

export interface UtilityQuestion {
  /** Higher is better; finite. */
  readonly utilities: readonly number[];
  /** Relative shares of candidates that are equally good: `litellm_params.weight`. */
  readonly weights: readonly number[];
  /** Share of decisions that are drawn by softmax instead of taken greedily, 0 to 1. */
  readonly exploration: number;
  /** Of the softmax, in units of utility: a candidate worse by this much is drawn e times less often. */
  readonly temperature: number;
  readonly random: () => number;
}

/**
 * Picks the best, shares among equals, explores as asked, and says with which probability it picked what it picked:
 * P(i) = (1 − ε) · [i is best] · w(i) / Σ w(best) + ε · exp(u(i) / τ) / Σ exp(u / τ). The others follow by utility, for when the first fails.
 */
export function chooseByUtility({ utilities, weights, exploration, temperature, random }: UtilityQuestion): UtilityChoice {
  const count = utilities.length;
  let best = -Infinity;
  for (const utility of utilities) if (utility > best) best = utility;
  let bestWeight = 0;
  let bestCount = 0;
  let softmaxSum = 0;
  for (let index = 0; index < count; index += 1) {
    const utility = utilities[index] ?? 0;
    if (best - utility <= SAME) {
      bestWeight += weights[index] ?? 0;
      bestCount += 1;
    }
    if (exploration > 0) softmaxSum += Math.exp((utility - best) / temperature);
  }
  const probability = (index: number): number => {
    const utility = utilities[index] ?? 0;
    const greedy = best - utility > SAME ? 0 : bestWeight > 0 ? (weights[index] ?? 0) / bestWeight : 1 / bestCount;
    return exploration > 0 ? (1 - exploration) * greedy + exploration * Math.exp((utility - best) / temperature) / softmaxSum : greedy;
  };

  let chosen = -1;
  const draw = random();
  let sum = 0;
  for (let index = 0; index < count; index += 1) {
    const share = probability(index);
    if (share <= 0) continue;
    chosen = index; // the last possible one catches what rounding leaves
    sum += share;
    if (draw < sum) break;
  }
  const rest: number[] = [];
  for (let index = 0; index < count; index += 1) if (index !== chosen) rest.push(index);
  rest.sort((a, b) => (utilities[b] ?? 0) - (utilities[a] ?? 0));
  return { order: [chosen, ...rest], propensity: Math.min(1, probability(chosen)) };
}
