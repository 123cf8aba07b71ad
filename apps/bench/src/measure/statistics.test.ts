import { describe, expect, test } from 'vitest';
import { pairedRatio, percentile, ratio, spread } from './statistics.ts';

describe('percentile', () => {
  test.each([
    [[1, 2, 3, 4], 0.5, 2],
    [[1, 2, 3, 4], 0.99, 4],
    [[1, 2, 3, 4], 0, 1],
    [[7], 0.99, 7],
    [Array.from({ length: 1000 }, (_, index) => index + 1), 0.99, 990],
  ])('is the measured value of the nearest rank: %#', (sorted, fraction, expected) => {
    expect(percentile(sorted, fraction)).toBe(expected);
  });

  test('of nothing is not a number', () => {
    expect(percentile([], 0.5)).toBeNaN();
  });
});

test('a spread is the median with the least and the greatest, whatever the order', () => {
  expect(spread([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
  expect(spread([4, 1, 2, 3])).toEqual({ median: 2.5, min: 1, max: 4 });
});

test('the ratio of pairs is not moved by a machine that was slow for one of them, and is left out where the pairs are incomplete', () => {
  expect(pairedRatio([75, 300, 75], [50, 200, 50])).toBe(1.5);
  expect(pairedRatio([75, 75], [50])).toBeUndefined();
  expect(pairedRatio([], [])).toBeUndefined();
  expect(pairedRatio([75], [0])).toBeUndefined();
});

test('a ratio without a base is left out rather than infinite', () => {
  expect(ratio(90, 60)).toBe(1.5);
  expect(ratio(90, 0)).toBeUndefined();
  expect(ratio(90, undefined)).toBeUndefined();
  expect(ratio(undefined, 60)).toBeUndefined();
  expect(ratio(Number.NaN, 60)).toBeUndefined();
});
