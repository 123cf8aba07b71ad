import { AppError } from '@pointsman/errors';
import type { Strategy, StrategyParts } from './strategy.ts';

/** What the gateway must know of a strategy before it loads it. Light: checking a configuration loads no strategy. */
export interface StrategyDefinition {
  /** The candidates over their `rpm` or `tpm` are filtered out before it decides, as LiteLLM does for the same strategy. */
  readonly enforcesRateLimits: boolean;
  /** It decides by what is asked: guard rails keep unable candidates away from it, and it is given the prompt's features. */
  readonly readsPrompt?: true;
  readonly load: () => Promise<{ createStrategy(parts: StrategyParts): Strategy | Promise<Strategy> }>;
}

/** Every value that `routing_strategy` may take. A strategy is a folder and one line here. */
export const strategies = {
  'simple-shuffle': { enforcesRateLimits: false, load: () => import('./strategies/simple-shuffle/simple-shuffle.ts') },
  'least-busy': { enforcesRateLimits: false, load: () => import('./strategies/least-busy/least-busy.ts') },
  'latency-based-routing': { enforcesRateLimits: true, load: () => import('./strategies/latency-based-routing/latency-based-routing.ts') },
  'usage-based-routing': { enforcesRateLimits: true, load: () => import('./strategies/usage-based-routing/usage-based-routing.ts') },
  'usage-based-routing-v2': { enforcesRateLimits: true, load: () => import('./strategies/usage-based-routing-v2/usage-based-routing-v2.ts') },
  'cost-based-routing': { enforcesRateLimits: true, load: () => import('./strategies/cost-based-routing/cost-based-routing.ts') },
  'llmrouter-hybrid': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-hybrid/llmrouter-hybrid.ts') },
  'llmrouter-knn': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-knn/llmrouter-knn.ts') },
  'llmrouter-svm': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-svm/llmrouter-svm.ts') },
  'llmrouter-mlp': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-mlp/llmrouter-mlp.ts') },
  'llmrouter-mf': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-mf/llmrouter-mf.ts') },
  'llmrouter-elo': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-elo/llmrouter-elo.ts') },
  'llmrouter-routerdc': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-routerdc/llmrouter-routerdc.ts') },
  'llmrouter-graph': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-graph/llmrouter-graph.ts') },
  'llmrouter-smallest': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-smallest/llmrouter-smallest.ts') },
  'llmrouter-largest': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-largest/llmrouter-largest.ts') },
  'llmrouter-automix': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-automix/llmrouter-automix.ts') },
  'llmrouter-knn-multiround': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-knn-multiround/llmrouter-knn-multiround.ts') },
  'llmrouter-llm-multiround': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-llm-multiround/llmrouter-llm-multiround.ts') },
  'llmrouter-causallm': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-causallm/llmrouter-causallm.ts') },
  'llmrouter-custom': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/llmrouter-custom/llmrouter-custom.ts') },
  'contextual-bandit': { enforcesRateLimits: false, readsPrompt: true, load: () => import('./strategies/contextual-bandit/contextual-bandit.ts') },
} as const satisfies Record<string, StrategyDefinition>;

export type StrategyName = keyof typeof strategies;

export const strategyNames: readonly StrategyName[] = Object.keys(strategies) as StrategyName[];

export function isStrategyName(name: string): name is StrategyName {
  return Object.hasOwn(strategies, name);
}

/** The definition of a strategy; undefined when there is none of that name. */
export function strategyDefinition(name: string): StrategyDefinition | undefined {
  return isStrategyName(name) ? strategies[name] : undefined;
}

/**
 * Loads and builds a strategy; for when a snapshot is compiled.
 * Throws an AppError for an unknown name or arguments that are out of range.
 */
export async function createStrategy(name: string, parts: StrategyParts): Promise<Strategy> {
  const definition = strategyDefinition(name);
  if (definition === undefined) {
    throw new AppError('invalid_request', 'unknown_strategy', `Unknown routing strategy '${name}'. Known: ${strategyNames.join(', ')}.`, {
      param: 'router_settings.routing_strategy',
    });
  }
  const { createStrategy: create } = await definition.load();
  return create(parts);
}
