import type { Candidate } from '../strategy.ts';

/** What an answer is taken to be long before there is one, tokens. */
const EXPECTED_COMPLETION_TOKENS = 300;

/** What a request is expected to cost with a candidate, USD; undefined when its price is not known. */
export function expectedCost({ inputCostPerToken, outputCostPerToken }: Candidate, promptTokens: number): number | undefined {
  if (inputCostPerToken === undefined && outputCostPerToken === undefined) return undefined;
  return (inputCostPerToken ?? 0) * promptTokens + (outputCostPerToken ?? 0) * EXPECTED_COMPLETION_TOKENS;
}

/** Costs as shares of the highest, 0 to 1. An unknown price counts as the highest: nobody saves money on a guess. */
export function relativeCosts(costs: readonly (number | undefined)[]): readonly number[] {
  let highest = 0;
  for (const cost of costs) if (cost !== undefined && cost > highest) highest = cost;
  return costs.map((cost) => (highest === 0 ? 0 : (cost ?? highest) / highest));
}
