import { expect, test } from 'vitest';
import { averageQuality, costAtQuality, costCurve, modelMeans, oracleQuality, pickedQuality } from './many-models.ts';

// Three questions, two models: the dear one is right on all, the cheap one on the first two.
const quality = [1, 1, 1, 1, 1, 0];
const prices = [10, 1];

test('picking by perfect predictions reaches the oracle, and ties are a coin toss', () => {
  expect(pickedQuality({ models: 2, quality, predicted: quality })).toBe(1);
  expect(pickedQuality({ models: 2, quality, predicted: [0, 0, 0, 0, 0, 0] })).toBeCloseTo(2.5 / 3);
  expect(oracleQuality(quality, 2)).toBe(1);
  expect([...modelMeans(quality, 2)]).toEqual([1, 2 / 3]);
});

test('with price in view the dear model is asked only where it is needed', () => {
  const curve = costCurve({ models: 2, quality, predicted: quality, prices });
  expect(curve[0]).toEqual({ cost: 1, quality: 2 / 3 });
  expect(costAtQuality(curve, 1)).toBeCloseTo(12 / 3);
  expect(costAtQuality(curve, 1.1)).toBe(Infinity);
  // 2/3 until cost 4, 1 from there to 10: the steps of the integral are a thousandth of the range.
  expect(averageQuality(curve, prices)).toBeCloseTo((2 / 3) * (3 / 9) + 6 / 9, 2);
});
