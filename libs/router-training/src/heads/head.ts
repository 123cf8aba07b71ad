import type { FeatureMatrix, TrainingSet } from '../features/feature-matrix.ts';
import { GraphBuilder, type Tensor } from '../onnx-writer/graph-builder.ts';

/** A trained head: predicts here exactly what its graph predicts in the gateway, up to rounding. */
export interface TrainedHead {
  /** Predicted quality, rows × candidates. */
  predict(features: FeatureMatrix): Float64Array;
  /** Adds the head to a graph and returns the tensor of its scores, shape [1, candidates]. */
  write(graph: GraphBuilder): Tensor;
}

export interface TrainParts {
  /** The only source of chance. */
  readonly seed: number;
  /** Called with the share done, 0 to 1, now and then. */
  readonly progress?: ((share: number) => void) | undefined;
}

/** Learns quality per candidate from a set. Same set, settings and seed: same weights, bit for bit. */
export type HeadTrainer<Settings> = (set: TrainingSet, settings: Settings, parts: TrainParts) => TrainedHead;

/** The ONNX file of a head. */
export function headGraph(head: TrainedHead, set: TrainingSet): Uint8Array {
  const graph = new GraphBuilder({ text: set.features.textWidth, embedding: set.features.embeddingWidth, candidates: set.candidates.length });
  return graph.finish(head.write(graph));
}

/** Weighted mean quality per candidate over the rows that know it; 0.5 for a candidate nobody observed. */
export function meanQuality({ quality, weight, candidates }: TrainingSet): Float64Array {
  const width = candidates.length;
  return Float64Array.from(candidates, (_, candidate) => {
    let sum = 0;
    let total = 0;
    for (let row = 0; row < weight.length; row += 1) {
      const value = quality[row * width + candidate]!;
      if (Number.isNaN(value)) continue;
      sum += weight[row]! * value;
      total += weight[row]!;
    }
    return total === 0 ? 0.5 : sum / total;
  });
}

/** Whether every row knows every candidate's quality: then one matrix serves all candidates. */
export function isComplete({ quality }: TrainingSet): boolean {
  return !quality.some(Number.isNaN);
}
