import { expect, test } from 'vitest';
import { seededRandom } from '../../seeded-random.ts';
import { selectionProbabilities } from './selection-probabilities.ts';

/** Box and Muller (1958). */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

test('they are how often each candidate wins when one score is drawn for each', () => {
  const random = seededRandom(17);
  for (let world = 0; world < 12; world += 1) {
    const count = 2 + Math.floor(random() * 6);
    const means = Array.from({ length: count }, () => random());
    const deviations = Array.from({ length: count }, () => 0.02 + 0.4 * random());
    const shares = selectionProbabilities(means, deviations);
    const wins = new Array<number>(count).fill(0);
    const draws = 40_000;
    for (let draw = 0; draw < draws; draw += 1) {
      let best = 0;
      let bestScore = -Infinity;
      for (let index = 0; index < count; index += 1) {
        const score = (means[index] ?? 0) + (deviations[index] ?? 0) * normal(random);
        if (score > bestScore) [best, bestScore] = [index, score];
      }
      wins[best] = (wins[best] ?? 0) + 1;
    }
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12);
    for (let index = 0; index < count; index += 1) {
      const share = shares[index] ?? 0;
      expect(Math.abs((wins[index] ?? 0) / draws - share)).toBeLessThan(0.005 + 4 * Math.sqrt(share * (1 - share) / draws));
    }
  }
});

test('without any doubt the best is taken, equals share, and nothing makes them something else than probabilities', () => {
  expect([...selectionProbabilities([0.2, 0.9, 0.5], [0, 0, 0])]).toEqual([0, 1, 0]);
  expect([...selectionProbabilities([0.5, 0.5], [0, 0])]).toEqual([0.5, 0.5]);
  expect([...selectionProbabilities([0.5, 0.5], [0.1, 0.1])].map((share) => Math.round(share * 1e6) / 1e6)).toEqual([0.5, 0.5]);
  for (const means of [[-1e6, 0.3, 0.4], [1e6, -1e6, 0], [0, 0, 1e-9]]) {
    for (const deviations of [[0, 0.1, 0], [1e-12, 1e-12, 1e-12], [5, 1e-9, 0.1]]) {
      const shares = [...selectionProbabilities(means, deviations)];
      expect(shares.every((share) => share >= 0 && share <= 1)).toBe(true);
      expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 9);
    }
  }
});
