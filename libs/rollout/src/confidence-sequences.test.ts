import { expect, test } from 'vitest';
import { boundedMeanSequence, meanSequence } from './confidence-sequences.ts';

/** Mulberry32: the same draws in every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** In how many of 200 runs the sequence excludes the truth at any of 120 looks. */
function misses(draw: (random: () => number) => number, truth: number, interval: (sums: { count: number; sum: number; squares: number }) => { low: number; high: number }): number {
  let missed = 0;
  for (let run = 0; run < 200; run += 1) {
    const random = seeded(run + 1);
    const sums = { count: 0, sum: 0, squares: 0 };
    for (let look = 0; look < 600; look += 1) {
      const value = draw(random);
      sums.count += 1;
      sums.sum += value;
      sums.squares += value * value;
      if (look % 5 !== 0) continue;
      const { low, high } = interval(sums);
      if (truth < low || truth > high) {
        missed += 1;
        break;
      }
    }
  }
  return missed;
}

test('looked at again and again, it excludes the true share of errors in fewer than alpha of the runs', () => {
  for (const rate of [0.01, 0.1, 0.5]) expect(misses((random) => Number(random() < rate), rate, (sums) => boundedMeanSequence(sums, 0.05))).toBeLessThanOrEqual(10);
});

test('the same for scores between 0 and 1', () => {
  expect(misses((random) => random() ** 2, 1 / 3, (sums) => boundedMeanSequence(sums, 0.05))).toBeLessThanOrEqual(10);
});

test('and for durations, which have no bound and a long tail', () => {
  expect(misses((random) => -Math.log(1 - random()), 1, (sums) => meanSequence(sums, 0.05))).toBeLessThanOrEqual(14);
});

test('the intervals hold the mean and shrink', () => {
  expect(boundedMeanSequence({ count: 0, sum: 0 }, 0.05)).toEqual({ low: 0, high: 1 });
  expect(boundedMeanSequence({ count: 100, sum: 0 }, 0.05)).toEqual({ low: 0, high: expect.closeTo(0.058, 2) as number });
  expect(boundedMeanSequence({ count: 10, sum: 10 }, 0.05).high).toBe(1);
  const widths = [10, 100, 1_000, 100_000].map((count) => boundedMeanSequence({ count, sum: count * 0.3 }, 0.01)).map(({ low, high }) => high - low);
  expect(widths).toEqual(widths.toSorted((a, b) => b - a));
  expect(widths.at(-1)).toBeLessThan(0.015);
  expect(meanSequence({ count: 49, sum: 49, squares: 60 }, 0.05)).toEqual({ low: -Infinity, high: Infinity });
  const { low, high } = meanSequence({ count: 10_000, sum: 20_000, squares: 50_000 }, 0.05);
  expect([low, high]).toEqual([expect.closeTo(1.95, 1), expect.closeTo(2.05, 1)]);
});
