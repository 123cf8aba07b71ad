import { expect, test } from 'vitest';
import { candidate, candidates, FIXTURE_NOW_MS, routingInput, statsAfter } from '../../candidate.fixture.ts';
import { seededRandom } from '../../seeded-random.ts';
import type { Candidate, RoutingDecision } from '../../strategy.ts';
import { strategyConformance } from '../../strategy.conformance.ts';
import { createStrategy } from './latency-based-routing.ts';

strategyConformance('latency-based-routing', createStrategy);
strategyConformance('latency-based-routing', (parts) => createStrategy({ ...parts, args: { lowest_latency_buffer: 0.2 } }));

function decide(about: readonly Candidate[], { args = {}, stream = false, nowMs = FIXTURE_NOW_MS }: { args?: Record<string, unknown>; stream?: boolean; nowMs?: number } = {}): RoutingDecision {
  return createStrategy({ random: seededRandom(1), now: () => nowMs, args }).decide(routingInput(about, { stream })) as RoutingDecision;
}
const ids = ({ order }: RoutingDecision): string[] => order.map(({ id }) => id);

const slow = candidate('slow', { stats: statsAfter({ msPerToken: 40, ttftMs: 100 }) });
const fast = candidate('fast', { stats: statsAfter({ msPerToken: 10, ttftMs: 900 }) });
const middle = candidate('middle', { stats: statsAfter({ msPerToken: 11, ttftMs: 500 }) });

test('the fastest per token comes first', () => {
  expect(ids(decide([slow, fast, middle]))).toEqual(['fast', 'middle', 'slow']);
});

test('a stream goes where the first token comes soonest', () => {
  expect(ids(decide([fast, slow, middle], { stream: true }))).toEqual(['slow', 'middle', 'fast']);
});

test('what was never tried comes first', () => {
  const decision = decide([slow, fast, candidate('new')]);
  expect(ids(decision)).toEqual(['new', 'fast', 'slow']);
  expect(decision.propensity).toBe(1);
});

test('within lowest_latency_buffer of the fastest the first is drawn evenly', () => {
  expect(decide([slow, fast, middle], { args: { lowest_latency_buffer: 0.09 } }).propensity).toBe(1);
  expect(decide([slow, fast, middle], { args: { lowest_latency_buffer: 0.11 } }).propensity).toBe(0.5);
  expect(decide([slow, fast, middle], { args: { lowest_latency_buffer: 3 } }).propensity).toBeCloseTo(1 / 3);
});

test('a deployment that timed out is last for a minute', () => {
  const stats = statsAfter({ msPerToken: 5 });
  stats.begin(FIXTURE_NOW_MS);
  stats.end({ nowMs: FIXTURE_NOW_MS, latencyMs: 60_000, ttftMs: undefined, tokens: 0, ok: false, timedOut: true });
  const hung = candidate('hung', { stats });
  expect(ids(decide([hung, slow, fast]))).toEqual(['fast', 'slow', 'hung']);
  expect(ids(decide([hung, slow, fast], { nowMs: FIXTURE_NOW_MS + 60_001 }))).toEqual(['hung', 'fast', 'slow']);
});

test('samples older than ttl seconds are forgotten', () => {
  const about = [slow, fast];
  expect(decide(about, { args: { ttl: 10 }, nowMs: FIXTURE_NOW_MS + 10_000 }).propensity).toBe(1);
  expect(decide(about, { args: { ttl: 10 }, nowMs: FIXTURE_NOW_MS + 10_001 }).propensity).toBe(0.5);
});

test.each([{ ttl: -1 }, { ttl: 'an hour' }, { lowest_latency_buffer: Number.NaN }])('arguments out of range are refused by name: %j', (args) => {
  const name = Object.keys(args)[0] ?? '';
  expect(() => decide(candidates(2), { args })).toThrow(`routing_strategy_args.${name}`);
});
