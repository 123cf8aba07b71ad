import type { Candidate, RoutingDecision, RoutingInput, Strategy, StrategyParts } from '../../strategy.ts';

type Measure = 'weight' | 'rpm' | 'tpm';
const MEASURES: readonly Measure[] = ['weight', 'rpm', 'tpm'];

/**
 * LiteLLM's default: a draw weighted by `weight`, else by `rpm`, else by `tpm`, else even.
 * As in LiteLLM (`router_strategy/simple_shuffle.py`) the *first* candidate decides which measure is in use; candidates
 * without it weigh 0, and a measure whose weights add up to 0 is passed over. The whole order is drawn without
 * replacement, so that a retry follows the weights too; what weighs 0 comes last, in even random order.
 * Score = share of the weight; propensity = the share of the first.
 */
export function createStrategy({ random }: StrategyParts): Strategy {
  const weights: number[] = []; // scratch, decide() is synchronous

  const decide = ({ candidates }: RoutingInput): RoutingDecision => {
    const count = candidates.length;
    const total = weigh(candidates, weights);
    const order = candidates.slice();
    const scores: number[] = [];
    for (let index = 0; index < count; index += 1) scores.push((weights[index] ?? 0) / total);

    let remaining = total;
    for (let position = 0; position < count - 1; position += 1) {
      const drawn = draw(weights, position, count, random() * remaining) ?? position + Math.floor(random() * (count - position));
      remaining -= weights[drawn] ?? 0;
      swap(order, position, drawn);
      swap(scores, position, drawn);
      swap(weights, position, drawn);
    }
    return { order, scores, strategy: 'simple-shuffle', modelVersion: '', propensity: scores[0] ?? 1 };
  };
  return { name: 'simple-shuffle', decide };
}

/** Fills `weights` and returns their sum, which is above 0. */
function weigh(candidates: readonly Candidate[], weights: number[]): number {
  const first = candidates[0];
  for (const measure of MEASURES) {
    if (first?.[measure] === undefined) continue;
    let total = 0;
    for (let index = 0; index < candidates.length; index += 1) {
      const weight = candidates[index]?.[measure] ?? 0;
      const usable = weight > 0 && weight < Number.MAX_VALUE ? weight : 0;
      weights[index] = usable;
      total += usable;
    }
    if (total > 0) return total;
  }
  for (let index = 0; index < candidates.length; index += 1) weights[index] = 1;
  return candidates.length;
}

/** The index in [from, count) that `point` of the summed weights falls on; undefined when only zeros are left. */
function draw(weights: readonly number[], from: number, count: number, point: number): number | undefined {
  let rest = point;
  let last: number | undefined;
  for (let index = from; index < count; index += 1) {
    const weight = weights[index] ?? 0;
    if (weight <= 0) continue;
    last = index;
    rest -= weight;
    if (rest < 0) return index;
  }
  return last; // rounding may leave a crumb after the last weight
}

function swap<T>(list: T[], left: number, right: number): void {
  if (left === right) return;
  const moved = list[left] as T;
  list[left] = list[right] as T;
  list[right] = moved;
}
