import { expect, test } from 'vitest';
import { seededRandom } from '@pointsman/routing';
import { bootstrap, interval95 } from './bootstrap.ts';
import { calibration } from './calibration.ts';

test('a forecast that says what happens has no calibration error, an overconfident one has its excess, and unknown outcomes do not count', () => {
  expect(calibration([1, 0, 0.5, 0.5, 0.9], [1, 0, 1, 0, Number.NaN])).toEqual({ ece: 0, brier: 0.125 });
  expect(calibration([0.95, 0.95], [1, 0]).ece).toBeCloseTo(0.45);
});

test('a bootstrap interval holds the mean, is the same for a seed, and narrows with more questions', () => {
  const width = (rows: number): number => {
    const random = seededRandom(3);
    const values = Array.from({ length: rows }, random);
    const run = () => interval95(bootstrap({ rowsPerFold: [rows], draws: 500, seed: 7 }, (_, counts) => [values.reduce((sum, value, row) => sum + value * counts[row]!, 0) / rows])[0]!);
    const { low, high } = run();
    expect(run()).toEqual({ low, high });
    const mean = values.reduce((sum, value) => sum + value, 0) / rows;
    expect(low).toBeLessThan(mean);
    expect(high).toBeGreaterThan(mean);
    return high - low;
  };
  expect(width(1_000)).toBeLessThan(width(50) / 2);
});
