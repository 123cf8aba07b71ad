import {
  createFeatureExtractor, createStrategy, DeploymentStats, loadRouterModel, seededRandom, type Candidate, type FeatureExtractor, type PromptInput, type RouterModel, type RoutingDecision, type RoutingInput,
} from '@pointsman/routing';

/** What a gateway has in memory to decide: the extractor, the model, the strategy. */
export interface RoutedProcess {
  readonly extractor: FeatureExtractor;
  readonly model: RouterModel;
  decide(prompt: string): Promise<RoutingDecision>;
  close(): Promise<void>;
}

const MAX_MODEL_BYTES = 64 * 1024 * 1024;

/** Loads a router's directory as the gateway does, for two candidates of different price. */
export async function loadRoutedProcess(directory: string): Promise<RoutedProcess> {
  const extractor = await createFeatureExtractor({ embedder: 'static' });
  const model = await loadRouterModel(directory, { maxBytes: MAX_MODEL_BYTES, expect: { featureVersion: extractor.version, embedder: extractor.embedder } });
  const strategy = await createStrategy('llmrouter-hybrid', {
    random: seededRandom(1), now: () => 0, args: {},
    models: { acquire: () => ({ value: model, release: () => undefined, [Symbol.dispose]: () => undefined }), extractor: () => extractor },
  });
  const candidates = [candidate('strong', 1e-5), candidate('weak', 5e-7)];
  return {
    extractor, model,
    decide: async (prompt) => strategy.decide(inputOf(prompt, candidates)),
    async close() {
      await model.close();
      await extractor.close();
    },
  };
}

export function promptInput(text: string): PromptInput {
  return { text, system: '', turns: 1, images: 0, tools: 0, wantsJson: false };
}

function inputOf(prompt: string, candidates: readonly Candidate[]): RoutingInput {
  return { candidates, prompt: () => prompt, promptTokens: () => prompt.length / 4, user: undefined, traceId: '0af7651916cd43dd8448eb211c80319c', about: () => promptInput(prompt) };
}

function candidate(id: string, costPerToken: number): Candidate {
  return {
    id, group: 'auto', model: `openai/${id}`, provider: 'openai', weight: undefined, rpm: undefined, tpm: undefined, order: undefined, tags: [], knownAs: [id],
    inputCostPerToken: costPerToken, outputCostPerToken: 4 * costPerToken, maxInputTokens: undefined, stats: new DeploymentStats(),
  };
}
