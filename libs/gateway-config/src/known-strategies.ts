/** Strategies that a configuration may name. Which of them a build implements is for its caller to say. */
export const KNOWN_STRATEGIES: readonly string[] = [
  'simple-shuffle', 'least-busy', 'usage-based-routing', 'usage-based-routing-v2', 'latency-based-routing', 'cost-based-routing',
  'llmrouter-knn', 'llmrouter-svm', 'llmrouter-mlp', 'llmrouter-mf', 'llmrouter-elo', 'llmrouter-routerdc', 'llmrouter-hybrid',
  'llmrouter-causallm', 'llmrouter-graph', 'llmrouter-automix', 'llmrouter-knn-multiround', 'llmrouter-llm-multiround',
  'llmrouter-smallest', 'llmrouter-largest', 'llmrouter-custom', 'contextual-bandit',
];

/** LiteLLM's own that this gateway does not take over, so that a refusal can say so. */
export const LITELLM_ONLY_STRATEGIES: readonly string[] = ['lar1', 'provider-budget-routing', 'priority'];
