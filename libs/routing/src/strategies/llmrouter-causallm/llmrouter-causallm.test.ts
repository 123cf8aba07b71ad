import { LiveValue } from '@pointsman/live-value';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { candidate, routingInput } from '../../candidate.fixture.ts';
import { createFeatureExtractor } from '../../features/create-feature-extractor.ts';
import { learnedConformance } from '../../learned/learned-strategy.conformance.ts';
import { writeCausalLm } from '../../onnx/causal-lm.fixture.ts';
import { loadRouterModel } from '../../onnx/load-router-model.ts';
import { seededRandom } from '../../seeded-random.ts';
import { createStrategy } from './llmrouter-causallm.ts';

learnedConformance('llmrouter-causallm', createStrategy);

test('a language model in its own thread decides by the prompt', async () => {
  await using directory = await temporaryDirectory();
  const { directory: generation } = await writeCausalLm(directory.path);
  const model = await loadRouterModel(generation, { maxBytes: 1_000_000 });
  const live = new LiveValue(model, () => undefined);
  const extractor = await createFeatureExtractor({ embedder: 'none' });
  try {
    const strategy = createStrategy({ random: seededRandom(1), now: () => 0, args: { model_name: 'lm', quality_cost_tradeoff: 1 }, models: { acquire: () => live.acquire(), extractor: () => extractor } });
    const candidates = [candidate('a', { model: 'small' }), candidate('b', { model: 'large' })];
    const chosen = async (text: string): Promise<unknown> => (await strategy.decide(routingInput(candidates, { about: () => ({ text, system: '', turns: 1, images: 0, tools: 0, wantsJson: false }) }))).order[0]?.id;
    expect([await chosen('an easy one'), await chosen('a hard one')]).toEqual(['a', 'b']);
  } finally {
    live.close();
    await model.close();
  }
});
