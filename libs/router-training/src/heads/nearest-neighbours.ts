import { roundToFloat16 } from '../dataset/float16.ts';
import type { FeatureMatrix } from '../features/feature-matrix.ts';
import { fitDenseInputs } from '../features/dense-inputs.ts';
import { unitRows, writeUnitRow } from '../features/unit-rows.ts';
import type { GraphBuilder, Tensor } from '../onnx-writer/graph-builder.ts';

export interface BankSettings {
  readonly textScale: number;
  readonly embeddingScale: number;
}

/** The training rows as unit vectors, to find the ones nearest to a prompt by cosine. */
export interface NeighbourBank {
  readonly rows: number;
  /** For every row of `features` its `count` nearest training rows, nearest first, and their cosines. */
  nearest(features: FeatureMatrix, count: number): { readonly index: Int32Array; readonly cosine: Float64Array };
  /** Indices (int64) and cosines of the nearest, both of shape [1, count]. */
  write(graph: GraphBuilder, count: number): { readonly index: Tensor; readonly cosine: Tensor };
}

export function neighbourBank(training: FeatureMatrix, settings: BankSettings): NeighbourBank {
  const dense = fitDenseInputs(training, settings);
  const { width } = dense;
  const bank = Float64Array.from(roundToFloat16(unitRows(dense, training)));
  const rows = training.rows;
  const byColumn = new Float64Array(bank.length);
  for (let row = 0; row < rows; row += 1) for (let column = 0; column < width; column += 1) byColumn[column * rows + row] = bank[row * width + column]!;
  return {
    rows,
    nearest(features, count) {
      const queries = unitRows(dense, features);
      const index = new Int32Array(features.rows * count);
      const cosine = new Float64Array(features.rows * count);
      for (let first = 0; first < features.rows; first += QUERIES) {
        const block = queries.subarray(first * width, Math.min(features.rows, first + QUERIES) * width);
        const similarities = cosines(block, bank, width);
        for (let query = 0; query < block.length / width; query += 1) {
          const own = similarities.subarray(query * rows, (query + 1) * rows);
          largest(own, count).forEach((row, position) => {
            index[(first + query) * count + position] = row;
            cosine[(first + query) * count + position] = own[row]!;
          });
        }
      }
      return { index, cosine };
    },
    write(graph, count) {
      const similarities = graph.op('MatMul', [writeUnitRow(graph, dense.write(graph)), graph.cast(graph.halves(byColumn, [width, rows]), 'float')]);
      const [cosine, index] = graph.ops('TopK', [similarities, graph.integers([count])], { axis: { int: 1 } }, 2);
      return { index: index!, cosine: cosine! };
    },
  };
}

/** Queries searched together, and bank rows that they are held against while those are in the processor's cache. */
const QUERIES = 64;
const BANK_ROWS = 128;

/** Dot products of every query with every row of the bank: queries × rows. */
function cosines(queries: Float64Array, bank: Float64Array, width: number): Float64Array {
  const count = queries.length / width;
  const rows = bank.length / width;
  const result = new Float64Array(count * rows);
  for (let start = 0; start < rows; start += BANK_ROWS) {
    const end = Math.min(rows, start + BANK_ROWS);
    for (let query = 0; query < count; query += 1) {
      const q = query * width;
      // Four rows at a time: additions into one sum wait for each other. The last group repeats its last row.
      for (let row = start; row < end; row += 4) {
        const [r0, r1, r2, r3] = [row, Math.min(row + 1, end - 1), Math.min(row + 2, end - 1), Math.min(row + 3, end - 1)];
        let s0 = 0;
        let s1 = 0;
        let s2 = 0;
        let s3 = 0;
        for (let column = 0; column < width; column += 1) {
          const value = queries[q + column]!;
          s0 += value * bank[r0 * width + column]!;
          s1 += value * bank[r1 * width + column]!;
          s2 += value * bank[r2 * width + column]!;
          s3 += value * bank[r3 * width + column]!;
        }
        result[query * rows + r0] = s0;
        result[query * rows + r1] = s1;
        result[query * rows + r2] = s2;
        result[query * rows + r3] = s3;
      }
    }
  }
  return result;
}

/** Positions of the largest values, largest first, earlier before later where equal: a heap of `count`, as the bank is much larger than what is wanted. */
function largest(values: Float64Array, count: number): Int32Array {
  const heap = new Int32Array(count);
  let size = 0;
  const less = (a: number, b: number): boolean => values[a]! < values[b]! || (values[a] === values[b] && a > b);
  const sink = (start: number): void => {
    let at = start;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) return;
      if (child + 1 < size && less(heap[child + 1]!, heap[child]!)) child += 1;
      if (!less(heap[child]!, heap[at]!)) return;
      [heap[at], heap[child]] = [heap[child]!, heap[at]!];
      at = child;
    }
  };
  for (let index = 0; index < values.length; index += 1) {
    if (size < count) {
      heap[size] = index;
      size += 1;
      if (size === count) for (let at = (count >> 1) - 1; at >= 0; at -= 1) sink(at);
    } else if (less(heap[0]!, index)) {
      heap[0] = index;
      sink(0);
    }
  }
  return heap.subarray(0, size).sort((a, b) => values[b]! - values[a]! || a - b);
}
