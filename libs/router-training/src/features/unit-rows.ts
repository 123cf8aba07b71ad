import type { GraphBuilder, Tensor } from '../onnx-writer/graph-builder.ts';
import type { DenseInputs } from './dense-inputs.ts';
import type { FeatureMatrix } from './feature-matrix.ts';

const SMALLEST_NORM = 1e-6;

/** Dense inputs scaled to length 1, rows × width: then dot products are cosines. */
export function unitRows(dense: DenseInputs, features: FeatureMatrix): Float64Array {
  return normaliseRows(dense.matrix(features), dense.width);
}

/** Scales rows to length 1, in place. */
export function normaliseRows(matrix: Float64Array, width: number): Float64Array {
  for (let start = 0; start < matrix.length; start += width) {
    let squares = 0;
    for (let column = 0; column < width; column += 1) squares += matrix[start + column]! ** 2;
    const norm = Math.max(SMALLEST_NORM, Math.sqrt(squares));
    for (let column = 0; column < width; column += 1) matrix[start + column]! /= norm;
  }
  return matrix;
}

/** The same in a graph, for a tensor of shape [1, n]. */
export function writeUnitRow(graph: GraphBuilder, row: Tensor): Tensor {
  const norm = graph.op('Max', [graph.op('Sqrt', [graph.sum(graph.op('Mul', [row, row]), [1])]), graph.scalar(SMALLEST_NORM)]);
  return graph.op('Div', [row, norm]);
}
