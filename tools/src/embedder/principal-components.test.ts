import { expect, test } from 'vitest';
import { diagonalise, principalComponents } from './principal-components.ts';

test('eigenvalues and eigenvectors of a known matrix', () => {
  const matrix = [Float64Array.of(2, 1, 0), Float64Array.of(1, 2, 0), Float64Array.of(0, 0, 5)];
  const vectors = diagonalise(matrix);
  expect(matrix.map((line, at) => line[at]!).sort()).toEqual([expect.closeTo(1, 10), expect.closeTo(3, 10), expect.closeTo(5, 10)]);
  const original = [[2, 1, 0], [1, 2, 0], [0, 0, 5]];
  vectors.forEach((vector, at) => {
    original.forEach((line, row) => expect(line.reduce((sum, value, column) => sum + value * vector[column]!, 0)).toBeCloseTo(matrix[at]![at]! * vector[row]!, 10));
  });
});

test('the first component is the direction of the largest variance, its sign fixed', () => {
  // Points on the line (3, −4) · t + (10, 20), with a little spread across it.
  const points = [-2, -1, 0, 1, 2].flatMap((t, at) => [10 + 3 * t + 0.04 * (at % 2), 20 - 4 * t + 0.03 * (at % 2)]);
  const { components, variances, totalVariance } = principalComponents(Float32Array.from(points), { dimensions: 2, count: 1 });
  expect(components[0]![0]).toBeCloseTo(-0.6, 2);
  expect(components[0]![1]).toBeCloseTo(0.8, 2);
  expect(variances[0]! / totalVariance).toBeGreaterThan(0.999);
});

test('components of random points are orthonormal and keep all variance when all are kept', () => {
  const size = 12;
  const rows = Float32Array.from({ length: 200 * size }, (_, at) => Math.sin(at * at * 0.7) * (1 + (at % size)));
  const { components, variances, totalVariance } = principalComponents(rows, { dimensions: size, count: size });
  components.forEach((left, i) =>
    components.forEach((right, j) => expect(left.reduce((sum, value, at) => sum + value * right[at]!, 0)).toBeCloseTo(i === j ? 1 : 0, 9)),
  );
  expect(variances.reduce((sum, value) => sum + value, 0)).toBeCloseTo(totalVariance, 9);
  expect([...variances].sort((one, other) => other - one)).toEqual(variances);
});
