import { expect, test } from 'vitest';
import { candidate, routingInput } from '../../candidate.fixture.ts';
import type { Decomposition } from '../../compound/compound.ts';
import { learnedConformance } from '../../learned/learned-strategy.conformance.ts';
import { seededRandom } from '../../seeded-random.ts';
import { createStrategy } from './llmrouter-llm-multiround.ts';

learnedConformance('llmrouter-llm-multiround', createStrategy);

test('the cheapest plans unless another is named, and short questions are not planned', async () => {
  const [weak, strong] = [candidate('weak', { inputCostPerToken: 1e-7 }), candidate('strong', { inputCostPerToken: 1e-5 })];
  const prompt = 'Compare the economies of two countries. '.repeat(4);
  const plannerFor = async (text: string, args: Readonly<Record<string, unknown>> = {}): Promise<string | undefined> => {
    const decision = await createStrategy({ random: seededRandom(1), now: () => 0, args })
      .decide(routingInput([strong, weak], { prompt: () => text, about: () => ({ text, system: '', turns: 1, images: 0, tools: 0, wantsJson: false }) }));
    return (decision.compound as Decomposition | undefined)?.planner?.id;
  };
  expect(await plannerFor(prompt)).toBe('weak');
  expect(await plannerFor(prompt, { planner: 'openai/strong' })).toBe('strong');
  expect(await plannerFor('What is 2 + 2?')).toBeUndefined();
});
