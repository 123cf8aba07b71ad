import { expect, test } from 'vitest';
import { apgr, callPerformanceThreshold, qualityCurve } from './two-models.ts';

const WEAK = [1, 0, 1, 0, 1, 1, 0, 1, 0, 1];
const STRONG = [1, 1, 1, 1, 0, 1, 0, 1, 1, 1];
const DISTINCT = [0.9, 0.8, 0.1, 0.7, 0.2, 0.3, 0.6, 0.05, 0.5, 0.4];

// Worked by hand from the definition: ten made-up questions.
test.each([
  ['distinct scores', DISTINCT, { apgr: 0.95, 20: 0.14, 50: 0.2, 80: 0.26, 95: 0.29 }],
  ['tied scores, a straight line across each block', [0.5, 0.9, 0.5, 0.9, 0.1, 0.1, 0.5, 0.1, 0.9, 0.1], { apgr: 1.175, 20: 0.04, 50: 0.1, 80: 0.16, 95: 0.19 }],
  ['one score for all, which is a random order', Array.from({ length: 10 }, () => 0.3), { apgr: 0.5, 20: 0.2, 50: 0.5, 80: 0.8, 95: 0.95 }],
  ['the reverse order', DISTINCT.map((score) => -score), { apgr: 0.05, 20: 0.74, 50: 0.8, 80: 0.86, 95: 0.89 }],
  ['the perfect order', WEAK.map((weak, index) => STRONG[index]! - weak), { apgr: 1.25, 50: 0.1, 80: 0.16 }],
])('APGR and CPT of %s are the ones worked out by hand', (_, need, expected) => {
  const curve = qualityCurve({ weak: WEAK, strong: STRONG, need });
  expect(apgr(curve)).toBeCloseTo(expected.apgr, 10);
  for (const [percent, value] of Object.entries(expected)) if (percent !== 'apgr') expect(callPerformanceThreshold(curve, Number(percent))).toBeCloseTo(value, 10);
});

test('a threshold that is never reached costs every call', () => {
  const never = qualityCurve({ weak: [0, 1], strong: [0, 1], need: [1, 2] });
  expect(callPerformanceThreshold(never, 50)).toBe(1);
  expect(apgr(never)).toBeNaN();
});
