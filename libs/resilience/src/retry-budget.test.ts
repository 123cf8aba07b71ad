import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { RetryBudget } from './retry-budget.ts';

function take(budget: RetryBudget, wanted: number): number {
  let got = 0;
  for (let call = 0; call < wanted; call += 1) if (budget.tryRetry()) got += 1;
  return got;
}

function firstTries(budget: RetryBudget, count: number): void {
  for (let call = 0; call < count; call += 1) budget.firstTry();
}

test('a quiet gateway may retry ten times per window, and no more', () => {
  const budget = new RetryBudget({ clock: new ManualClock() });
  expect(budget.remaining).toBe(10);
  expect(take(budget, 50)).toBe(10);
  expect(budget.remaining).toBe(0);
});

test('under load retries are a fifth of the first tries on top of the minimum', () => {
  const budget = new RetryBudget({ clock: new ManualClock() });
  firstTries(budget, 1_000);
  expect(take(budget, 1_000)).toBe(210);
});

test('an outage is not amplified: with every request failing twice the load stays below 1.3 times', () => {
  const clock = new ManualClock();
  const budget = new RetryBudget({ clock, minimum: 10 });
  let calls = 0;
  for (let tick = 0; tick < 6_000; tick += 1) {
    clock.advance(10);
    budget.firstTry();
    calls += 1;
    calls += take(budget, 2);
  }
  expect(calls).toBeGreaterThan(6_000 * 1.15);
  expect(calls).toBeLessThan(6_000 * 1.3);
});

test('what happened more than ten seconds ago is forgotten bucket by bucket', () => {
  const clock = new ManualClock();
  const budget = new RetryBudget({ clock, minimum: 0, ratio: 1 });
  firstTries(budget, 5);
  clock.advance(5_000);
  firstTries(budget, 3);
  expect(budget.remaining).toBe(8);
  clock.advance(5_000);
  expect(budget.remaining).toBe(3);
  clock.advance(5_000);
  expect(budget.remaining).toBe(0);
  firstTries(budget, 2);
  clock.advance(3_603_000);
  expect(budget.remaining).toBe(0);
});

test('retries come back when those taken leave the window', () => {
  const clock = new ManualClock();
  const budget = new RetryBudget({ clock, minimum: 2, ratio: 0 });
  expect(take(budget, 5)).toBe(2);
  clock.advance(9_000);
  expect(take(budget, 5)).toBe(0);
  clock.advance(1_000);
  expect(take(budget, 5)).toBe(2);
});

test('a clock that stands still or is set back does not throw the count away', () => {
  const clock = new ManualClock();
  const budget = new RetryBudget({ clock, minimum: 3, ratio: 0 });
  take(budget, 2);
  clock.advance(-5_000);
  expect(budget.remaining).toBe(1);
  clock.advance(5_000);
  expect(take(budget, 5)).toBe(1);
});

test('a reload changes ratio and minimum and keeps the count', () => {
  const budget = new RetryBudget({ clock: new ManualClock(), minimum: 0, ratio: 0.2 });
  firstTries(budget, 10);
  expect(take(budget, 10)).toBe(2);
  budget.configure({ ratio: 0.5, minimum: 1 });
  expect(take(budget, 10)).toBe(4);
});
