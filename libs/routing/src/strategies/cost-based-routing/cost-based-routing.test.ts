import { expect, test } from 'vitest';
import { candidate, routingInput } from '../../candidate.fixture.ts';
import { seededRandom } from '../../seeded-random.ts';
import type { Candidate, RoutingDecision } from '../../strategy.ts';
import { strategyConformance } from '../../strategy.conformance.ts';
import { createStrategy } from './cost-based-routing.ts';

strategyConformance('cost-based-routing', createStrategy);

const priced = (id: string, inputCostPerToken?: number, outputCostPerToken?: number): Candidate => candidate(id, { inputCostPerToken, outputCostPerToken });
const decide = (...about: Candidate[]): RoutingDecision =>
  createStrategy({ random: seededRandom(1), now: () => 0, args: {} }).decide(routingInput(about)) as RoutingDecision;

test('the lowest sum of input and output price comes first, an unknown price last, a price of zero first', () => {
  const { order, scores } = decide(priced('unknown'), priced('dear', 5e-6, 15e-6), priced('half-known', 1e-7), priced('cheap', 3e-6, 4e-6), priced('own', 0, 0));
  expect(order.map(({ id }) => id)).toEqual(['own', 'cheap', 'dear', 'half-known', 'unknown']);
  expect(scores[0]).toBe(0);
  expect(scores[1]).toBeCloseTo(-7e-6, 12);
});

test('equal prices share', () => {
  expect(decide(priced('a', 1e-6, 1e-6), priced('b', 1e-6, 1e-6), priced('c', 2e-6, 1e-6)).propensity).toBe(0.5);
});
