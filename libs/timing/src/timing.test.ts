import { expect, test } from 'vitest';
import { backoffMs, ManualClock, sleep, systemClock } from './index.ts';

test('backoff doubles up to its limit and is spread over the whole range', () => {
  const longest = () => 1 - Number.EPSILON;
  expect([0, 1, 2, 3, 10, 1_000].map((attempt) => Math.round(backoffMs(attempt, { baseMs: 100, maxMs: 1_000 }, longest)))).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  expect(backoffMs(5, { baseMs: 100, maxMs: 1_000 }, () => 0)).toBe(0);
  expect(backoffMs(2, { baseMs: 100, maxMs: 1_000 }, () => 0.25)).toBe(100);
});

test('a manual clock moves only when told', () => {
  const clock = new ManualClock(1_000);
  expect([clock.now(), clock.monotonic()]).toEqual([1_000, 1_000]);
  clock.advance(250);
  expect([clock.now(), clock.monotonic()]).toEqual([1_250, 1_250]);
});

test('the system clock tells wall time, and a monotonic time that does not go back', () => {
  const before = Date.now();
  expect(systemClock.now()).toBeGreaterThanOrEqual(before);
  const first = systemClock.monotonic();
  expect(systemClock.monotonic()).toBeGreaterThanOrEqual(first);
});

test('sleeping ends at once, without throwing, when its signal aborts or has aborted', async () => {
  const control = new AbortController();
  const asleep = sleep(3_600_000, control.signal);
  control.abort();
  await asleep;
  await sleep(3_600_000, control.signal);
});

test('sleeping without a signal ends by itself', async () => {
  await sleep(1);
});
