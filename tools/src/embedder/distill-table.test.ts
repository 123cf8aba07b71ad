import { expect, test } from 'vitest';
import { distillTable } from './distill-table.ts';

const vectors = Float32Array.from([4, 0, 1, -4, 0, 1, 0, 2, 1, 0, -2, 1]);
const rowsOf = ({ rows, scales }: { rows: Int8Array; scales: Float32Array }): number[][] =>
  Array.from(scales, (scale, token) => [rows[2 * token]! * scale, rows[2 * token + 1]! * scale]);

test('tokens that no text holds keep their reduced vector', () => {
  const table = distillTable(vectors, { modelDimensions: 3, dimensions: 2, counts: new Float64Array(4) });
  expect(table.varianceKept).toBeCloseTo(1, 9);
  expect(rowsOf(table).flat().map((value) => Number(value.toFixed(4)) + 0)).toEqual([4, 0, -4, 0, 0, 2, 0, -2]);
});

test('a frequent token weighs less, as SIF says, and loses no precision by it', () => {
  const table = distillTable(vectors, { modelDimensions: 3, dimensions: 2, counts: Float64Array.of(0, 1, 999, 0) });
  const [rare, seldom, frequent] = rowsOf(table);
  expect(rare![0]).toBeCloseTo(4, 5);
  expect(seldom![0]).toBeCloseTo(-4 * (1e-3 / (1e-3 + 1e-3)), 5);
  expect(frequent![1]).toBeCloseTo(2 * (1e-3 / (1e-3 + 0.999)), 7);
  expect(Math.max(...table.rows)).toBe(127);
});

test('a vector at the mean becomes zeros, not NaN', () => {
  const table = distillTable(Float32Array.from([1, 1, 1, 1]), { modelDimensions: 2, dimensions: 2, counts: new Float64Array(2) });
  expect([...table.rows, ...table.scales].every((value) => value === 0)).toBe(true);
});
