/** Points of quality that the whole price of the dearest candidate is worth at a tradeoff of 0.5: there, it must be right 15 times more often in a hundred. */
const COST_WEIGHT_AT_HALF = 0.15;

/** What `quality_cost_tradeoff` means: 0 = nothing but the price counts, 1 = it does not count. */
export function costWeight(tradeoff: number): number {
  return tradeoff <= 0 ? 1e6 : COST_WEIGHT_AT_HALF * (1 - tradeoff) / tradeoff;
}
