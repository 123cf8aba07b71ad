import { ManualClock } from '@pointsman/timing';
import { afterEach, expect, test, vi } from 'vitest';
import { DeniedFlood, type DeniedSum } from './denied-flood.ts';

afterEach(() => {
  vi.useRealTimers();
});

function flood(maxDistinct = 3): { flood: DeniedFlood; clock: ManualClock; sums: DeniedSum[] } {
  const clock = new ManualClock(1_700_000_000_000);
  const sums: DeniedSum[] = [];
  return { flood: new DeniedFlood({ clock, maxDistinct, onSum: (sum) => sums.push(sum) }), clock, sums };
}

test('the first of each kind in a minute is told, the rest is summed by reason', () => {
  const it = flood();
  expect(it.flood.admits('unknown_key', ['key:a', '10.0.0.1'])).toBe(true);
  expect(it.flood.admits('unknown_key', ['key:a', '10.0.0.2'])).toBe(true);
  expect(it.flood.admits('unknown_key', ['key:a', '10.0.0.1'])).toBe(false);
  expect(it.flood.admits('blocked', ['key:a', '10.0.0.1'])).toBe(true);
  // No more kinds this minute.
  expect(it.flood.admits('blocked', ['key:b', '10.0.0.1'])).toBe(false);
  expect(it.sums).toEqual([]);
  it.clock.advance(60_000);
  expect(it.flood.admits('blocked', ['key:b', '10.0.0.1'])).toBe(true);
  expect(it.sums).toEqual([{ count: 2, reasons: { unknown_key: 1, blocked: 1 }, minute: '2023-11-14T22:13:00.000Z' }]);
  it.flood.end();
  expect(it.sums).toHaveLength(1);
});

test('the sum is told when the minute ends, also when nobody is refused any more', () => {
  vi.useFakeTimers();
  const it = flood(1);
  it.flood.admits('unknown_key', ['a']);
  for (let at = 0; at < 1_000; at += 1) it.flood.admits(`reason ${String(at)}`, [String(at)]);
  vi.advanceTimersByTime(39_000);
  expect(it.sums).toEqual([]);
  vi.advanceTimersByTime(1_000);
  expect(it.sums).toHaveLength(1);
  expect(it.sums[0]?.count).toBe(1_000);
  expect(Object.keys(it.sums[0]?.reasons ?? {})).toHaveLength(33);
  expect(it.sums[0]?.reasons['other']).toBe(968);
});
