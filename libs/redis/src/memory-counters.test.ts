import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { describeLimitCounters } from './limit-counters.conformance.ts';
import type { ScopeChecks } from './limit-counters.ts';
import { RESERVATION_PERIOD_MS } from './limit-script.ts';
import { createMemoryCounters } from './memory-counters.ts';

describeLimitCounters('counters in memory', async () => {
  const clock = new ManualClock();
  let counters = createMemoryCounters({ clock, maxEntries: 1_000 });
  return {
    counters: { reserve: (scopes) => counters.reserve(scopes), settle: (...words) => counters.settle(...words) },
    elapse: async (ms) => clock.advance(ms),
    forget: async () => {
      counters = createMemoryCounters({ clock, maxEntries: 1_000 });
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
});

const requestOf = (scope: string): readonly ScopeChecks[] => [{ scope, checks: [{ kind: 'window', name: 'requests', limit: 2, amount: 1, windowMs: 60_000 }] }];

test('no more counters are kept than allowed: the one not used for longest starts anew', () => {
  const counters = createMemoryCounters({ clock: new ManualClock(), maxEntries: 3 });
  const left = (scope: string): unknown => {
    const answer = counters.reserve(requestOf(scope));
    return answer instanceof Promise || !answer.allowed ? 'refused' : answer.standings[0]?.remaining;
  };
  expect(['a', 'b', 'c', 'a'].map(left)).toEqual([1, 1, 1, 0]);
  expect(left('d')).toBe(1);
  expect([left('a'), left('c')]).toEqual(['refused', 0]);
  expect(left('b')).toBe(1);
});

test('what a killed replica had reserved of a budget comes back', async () => {
  const clock = new ManualClock(0);
  const counters = createMemoryCounters({ clock, maxEntries: 10 });
  const left = async (amount: number): Promise<number | undefined> => {
    const answer = await counters.reserve([{ scope: 'key:1', checks: [{ kind: 'budget', name: 'spend', limit: 10, amount, seed: 0, keepMs: 1e9 }] }]);
    return answer.allowed ? answer.standings[0]?.remaining : undefined;
  };
  expect(await left(4)).toBe(6);
  clock.advance(RESERVATION_PERIOD_MS);
  expect(await left(1)).toBe(5);
  clock.advance(RESERVATION_PERIOD_MS);
  expect(await left(0)).toBe(9);
});
