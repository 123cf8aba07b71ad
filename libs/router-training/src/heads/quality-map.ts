import type { GraphBuilder, Tensor } from '../onnx-writer/graph-builder.ts';
import type { TrainingSet } from '../features/feature-matrix.ts';
import { meanQuality } from './head.ts';

/**
 * Turns scores of any scale into qualities: `level + slope · score` per candidate with one slope for all, by least squares on rows the scorer did not
 * see. One slope, so that the order among candidates stays the scorer's own up to the level of each.
 */
export interface QualityMap {
  readonly slope: number;
  readonly level: Float64Array;
  apply(scores: Float64Array): Float64Array;
  write(graph: GraphBuilder, scores: Tensor): Tensor;
}

export function fitQualityMap(set: TrainingSet, scores: Float64Array): QualityMap {
  const width = set.candidates.length;
  const meanScore = meanQuality({ ...set, quality: Float32Array.from(scores, (score, index) => (Number.isNaN(set.quality[index]!) ? Number.NaN : score)) });
  const means = meanQuality(set);
  let covariance = 0;
  let variance = 0;
  for (let index = 0; index < scores.length; index += 1) {
    const quality = set.quality[index]!;
    if (Number.isNaN(quality)) continue;
    const weight = set.weight[Math.floor(index / width)]!;
    const deviation = scores[index]! - meanScore[index % width]!;
    covariance += weight * deviation * (quality - means[index % width]!);
    variance += weight * deviation * deviation;
  }
  // A scorer that is worse than nothing on unseen rows is not turned upside down: it becomes almost silent.
  const slope = Math.fround(variance === 0 ? 0 : Math.max(1e-3, covariance / variance));
  const level = means.map((mean, candidate) => mean - slope * meanScore[candidate]!);
  return {
    slope, level,
    apply: (values) => values.map((value, index) => level[index % width]! + slope * value),
    write: (graph, tensor) => graph.op('Add', [graph.op('Mul', [tensor, graph.scalar(slope)]), graph.floats(level, [1, width])]),
  };
}
