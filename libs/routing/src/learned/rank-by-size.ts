import type { Candidate, RoutingDecision } from '../strategy.ts';
import { chooseByUtility } from './choose-by-utility.ts';

export interface SizeQuestion {
  readonly strategy: string;
  readonly candidates: readonly Candidate[];
  readonly prefer: 'smallest' | 'largest';
  readonly random: () => number;
}

/** Orders candidates by their size: stated parameters where every one has them, else price, which vendors set by size. Scores are sizes, or negative ones. */
export function rankBySize({ strategy, candidates, prefer, random }: SizeQuestion): RoutingDecision {
  const areStated = candidates.every(({ sizeB }) => sizeB !== undefined);
  const sign = prefer === 'smallest' ? -1 : 1;
  const utilities = candidates.map(({ sizeB = 0, inputCostPerToken = 0, outputCostPerToken = 0 }) => sign * (areStated ? sizeB : (inputCostPerToken + outputCostPerToken) * 1e6));
  const { order, propensity } = chooseByUtility({ utilities, weights: candidates.map(({ weight }) => weight ?? 1), exploration: 0, temperature: 1, random });
  return { order: order.map((index) => candidates[index] as Candidate), scores: order.map((index) => utilities[index] ?? 0), strategy, modelVersion: '', propensity };
}
