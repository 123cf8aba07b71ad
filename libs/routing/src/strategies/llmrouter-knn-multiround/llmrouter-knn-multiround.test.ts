import { expect, test } from 'vitest';
import { candidate, routingInput } from '../../candidate.fixture.ts';
import type { Decomposition } from '../../compound/compound.ts';
import type { PromptInput } from '../../features/prompt-features.ts';
import { learnedConformance } from '../../learned/learned-strategy.conformance.ts';
import { seededRandom } from '../../seeded-random.ts';
import type { StrategyParts } from '../../strategy.ts';
import { createStrategy } from './llmrouter-knn-multiround.ts';

learnedConformance('llmrouter-knn-multiround', createStrategy);

const weak = candidate('weak', { priorQuality: 0.5, inputCostPerToken: 1e-7, outputCostPerToken: 1e-7 });
const strong = candidate('strong', { priorQuality: 0.9, inputCostPerToken: 1e-5, outputCostPerToken: 1e-5 });
const TWO = 'Who wrote Faust? Which river flows through Weimar?';

async function partsOf(prompt: string, { about, args = {} }: { readonly about?: Partial<PromptInput>; readonly args?: StrategyParts['args'] } = {}): Promise<Decomposition | undefined> {
  const input: PromptInput = { text: prompt, system: '', turns: 1, images: 0, tools: 0, wantsJson: false, ...about };
  const { compound } = await createStrategy({ random: seededRandom(1), now: () => 0, args }).decide(routingInput([weak, strong], { prompt: () => prompt, about: () => input }));
  return compound as Decomposition | undefined;
}

test('several questions are parts, and the best model is to answer in the end', async () => {
  const found = await partsOf(TWO);
  expect(found?.parts).toEqual(['Who wrote Faust?', 'Which river flows through Weimar?']);
  expect(found?.aggregators.map(({ id }) => id)).toEqual(['strong', 'weak']);
  expect((await partsOf(TWO, { args: { aggregator: 'weak' } }))?.aggregators[0]?.id).toBe('weak');
});

test.each<[string, Partial<PromptInput>]>([['tools', { tools: 1 }], ['images', { images: 1 }], ['JSON', { wantsJson: true }], ['a conversation', { turns: 3 }], ['a system prompt', { system: 'Be brief.' }]])('%s: one model answers', async (_, about) => {
  expect(await partsOf(TWO, { about })).toBeUndefined();
});

test.each([['max_parts', 1], ['max_calls', 0], ['max_cost_usd', -1], ['parts_timeout_ms', 'soon'], ['aggregator', 4]])('%s: %s is refused', (name, value) => {
  expect(() => createStrategy({ random: seededRandom(1), now: () => 0, args: { [name]: value } })).toThrow(name);
});
