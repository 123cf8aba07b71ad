export { createPriceMap, loadPriceMap, type PriceMap } from './price-map.ts';
export { priceKeys, type PriceKey, type PriceLookup } from './price-lookup.ts';
export type { ModelPrice } from './model-price.ts';
export { withCustomPrices } from './custom-prices.ts';
export { compileCost, costUsd } from './cost.ts';
export type { CostBreakdown, PricedUsage, ServiceTier } from './usage.ts';
export { modelFacts, type ModelFacts } from './model-facts.ts';
