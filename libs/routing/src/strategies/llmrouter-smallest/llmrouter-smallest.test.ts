import { expect, test } from 'vitest';
import { candidate, routingInput } from '../../candidate.fixture.ts';
import { seededRandom } from '../../seeded-random.ts';
import { strategyConformance } from '../../strategy.conformance.ts';
import type { RoutingDecision } from '../../strategy.ts';
import { createStrategy } from './llmrouter-smallest.ts';

strategyConformance('llmrouter-smallest', createStrategy);

const firstOf = (...sizes: readonly { readonly sizeB?: number; readonly inputCostPerToken?: number }[]): number => {
  const about = sizes.map((known, index) => candidate(`c${String(index)}`, known));
  const { order } = createStrategy({ random: seededRandom(1), now: () => 0, args: {} }).decide(routingInput(about)) as RoutingDecision;
  return about.findIndex((one) => one === order[0]);
};

test('sizes decide where all are known, prices where one is not', () => {
  expect(firstOf({ sizeB: 70 }, { sizeB: 7 }, { sizeB: 405 })).toBe(1);
  expect(firstOf({ sizeB: 70, inputCostPerToken: 1e-6 }, { inputCostPerToken: 3e-6 }, { sizeB: 405, inputCostPerToken: 2e-6 })).toBe(0);
});
