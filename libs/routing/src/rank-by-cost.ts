import type { Candidate, RoutingDecision } from './strategy.ts';

export interface Ranking {
  readonly strategy: string;
  readonly candidates: readonly Candidate[];
  /** What is to be kept low, per candidate and in any unit; finite. Only the first `candidates.length` entries are read. */
  readonly costs: readonly number[];
  readonly random: () => number;
  /** The first is drawn evenly among those that cost at most this much more than the cheapest. 0 = only among equals. */
  readonly tolerance?: number;
}

/** Below this an insertion sort beats the built-in one, whose comparator calls dominate. */
const SMALL = 16;

/**
 * The decision of every strategy that prefers a low number: cheapest first, equals in random order, score = −cost.
 * Propensity is one over the number of candidates that the first was drawn from.
 */
export function rankByCost({ strategy, candidates, costs, random, tolerance = 0 }: Ranking): RoutingDecision {
  const count = candidates.length;
  const ranked: number[] = [];
  // "Inside-out" Fisher–Yates: an even shuffle first, then a stable sort, leaves equals in an even random order.
  for (let index = 0; index < count; index += 1) {
    const other = Math.floor(random() * (index + 1));
    ranked.push(index);
    if (other !== index) {
      ranked[index] = ranked[other] ?? 0;
      ranked[other] = index;
    }
  }
  if (count <= SMALL) insertionSort(ranked, costs);
  else ranked.sort((left, right) => (costs[left] ?? 0) - (costs[right] ?? 0));

  const limit = (costs[ranked[0] ?? 0] ?? 0) + tolerance;
  let eligible = 1;
  while (eligible < count && (costs[ranked[eligible] ?? 0] ?? 0) <= limit) eligible += 1;
  if (tolerance > 0 && eligible > 1) {
    const [chosen] = ranked.splice(Math.floor(random() * eligible), 1);
    ranked.unshift(chosen ?? 0);
  }

  const order: Candidate[] = [];
  const scores: number[] = [];
  for (const index of ranked) {
    const candidate = candidates[index];
    if (candidate === undefined) continue;
    order.push(candidate);
    scores.push(0 - (costs[index] ?? 0)); // not unary minus: a cost of 0 would score −0
  }
  return { order, scores, strategy, modelVersion: '', propensity: 1 / eligible };
}

function insertionSort(ranked: number[], costs: readonly number[]): void {
  for (let position = 1; position < ranked.length; position += 1) {
    const moving = ranked[position] ?? 0;
    const cost = costs[moving] ?? 0;
    let hole = position - 1;
    while (hole >= 0 && (costs[ranked[hole] ?? 0] ?? 0) > cost) {
      ranked[hole + 1] = ranked[hole] ?? 0;
      hole -= 1;
    }
    ranked[hole + 1] = moving;
  }
}
