import { expect, test } from 'vitest';
import { candidate, FIXTURE_NOW_MS, routingInput, statsAfter } from '../../candidate.fixture.ts';
import { seededRandom } from '../../seeded-random.ts';
import type { Candidate, RoutingDecision } from '../../strategy.ts';
import { strategyConformance } from '../../strategy.conformance.ts';
import { createStrategy } from './usage-based-routing.ts';

strategyConformance('usage-based-routing', createStrategy);

const decide = (about: readonly Candidate[], promptTokens = 10, nowMs = FIXTURE_NOW_MS): RoutingDecision =>
  createStrategy({ random: seededRandom(1), now: () => nowMs, args: {} }).decide(routingInput(about, { promptTokens: () => promptTokens })) as RoutingDecision;
const ids = ({ order }: RoutingDecision): string[] => order.map(({ id }) => id);
const used = (id: string, tokens: number, limits: { rpm?: number; tpm?: number } = {}): Candidate => candidate(id, { ...limits, stats: statsAfter({ tokens }) });

test('the fewest tokens of this minute come first, whatever was used before', () => {
  const about = [used('much', 900), used('little', 10), used('some', 400)];
  expect(ids(decide(about))).toEqual(['little', 'some', 'much']);
  expect(decide(about, 10, FIXTURE_NOW_MS + 60_000).propensity).toBeCloseTo(1 / 3);
});

test('what this request would put over its tpm comes last', () => {
  const about = [used('tight', 100, { tpm: 150 }), used('roomy', 500)];
  expect(ids(decide(about, 50))).toEqual(['tight', 'roomy']);
  expect(ids(decide(about, 51))).toEqual(['roomy', 'tight']);
});

test('what is at its rpm comes last', () => {
  expect(ids(decide([used('at-limit', 1, { rpm: 1 }), used('free', 500, { rpm: 2 })]))).toEqual(['free', 'at-limit']);
});
