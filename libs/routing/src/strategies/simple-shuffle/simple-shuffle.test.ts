import { expect, test } from 'vitest';
import { candidates, routingInput } from '../../candidate.fixture.ts';
import { seededRandom } from '../../seeded-random.ts';
import type { Candidate, RoutingDecision } from '../../strategy.ts';
import { strategyConformance } from '../../strategy.conformance.ts';
import { createStrategy } from './simple-shuffle.ts';

strategyConformance('simple-shuffle', createStrategy);

const decide = (about: readonly Candidate[], random = seededRandom(1)): RoutingDecision =>
  createStrategy({ random, now: () => 0, args: {} }).decide(routingInput(about)) as RoutingDecision;
const shareOf = (decision: RoutingDecision, id: string): number | undefined => decision.scores[decision.order.findIndex((one) => one.id === id)];

test('weight goes before rpm, rpm before tpm, and with none of them the draw is even', () => {
  const all = candidates(2, (index) => ({ weight: [1, 3][index], rpm: [4, 1][index], tpm: [9, 1][index] }));
  expect(shareOf(decide(all), 'deployment-1')).toBeCloseTo(0.75);
  const limits = all.map((one) => ({ ...one, weight: undefined }));
  expect(shareOf(decide(limits), 'deployment-0')).toBeCloseTo(0.8);
  const tokens = limits.map((one) => ({ ...one, rpm: undefined }));
  expect(shareOf(decide(tokens), 'deployment-0')).toBeCloseTo(0.9);
  expect(shareOf(decide(candidates(2)), 'deployment-0')).toBeCloseTo(0.5);
});

test('the first candidate decides which measure is in use, as in LiteLLM', () => {
  const mixed = candidates(2, (index) => (index === 0 ? { rpm: 100 } : { weight: 9, rpm: 300 }));
  expect(shareOf(decide(mixed), 'deployment-1')).toBeCloseTo(0.75);
});

test('a candidate without the measure in use comes last', () => {
  const about = candidates(3, (index) => ({ weight: [2, undefined, 2][index] }));
  for (let seed = 0; seed < 200; seed += 1) {
    const { order, propensity } = decide(about, seededRandom(seed));
    expect(order[2]?.id).toBe('deployment-1');
    expect(propensity).toBe(0.5);
  }
});

test('weights of zero pass the question on to rpm', () => {
  const about = candidates(2, (index) => ({ weight: 0, rpm: [1, 4][index] }));
  expect(shareOf(decide(about), 'deployment-1')).toBeCloseTo(0.8);
});

test('the second is drawn by weight among the rest', () => {
  const about = candidates(3, (index) => ({ weight: [1.5, 98, 0.5][index] }));
  const random = seededRandom(5);
  let middleSecond = 0;
  let heavyFirst = 0;
  for (let draw = 0; draw < 4_000; draw += 1) {
    const { order } = decide(about, random);
    if (order[0]?.id !== 'deployment-1') continue;
    heavyFirst += 1;
    if (order[1]?.id === 'deployment-0') middleSecond += 1;
  }
  expect(middleSecond / heavyFirst).toBeGreaterThan(0.72);
  expect(middleSecond / heavyFirst).toBeLessThan(0.78);
});

test('a random source at its very ends picks a candidate with weight', () => {
  const about = candidates(4, (index) => ({ weight: [0, 0.1, 0.2, 0][index] }));
  for (const value of [0, 0.5, 1 - Number.EPSILON / 2]) {
    const { order } = decide(about.map((one) => ({ ...one, rpm: undefined })), () => value);
    expect(['deployment-1', 'deployment-2']).toContain(order[0]?.id);
  }
});

test('weights that are no use count as zero', () => {
  const about = candidates(3, (index) => ({ weight: [Number.NaN, -1, 4][index] }));
  expect(decide(about).order[0]?.id).toBe('deployment-2');
  expect(decide(about).propensity).toBe(1);
});
