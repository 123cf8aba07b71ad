import type { FeatureMatrix, TrainingSet } from '../features/feature-matrix.ts';
import { GraphBuilder, type Tensor } from '../onnx-writer/graph-builder.ts';

export interface LinearTerm {
  /** Shape [1, n]. */
  readonly tensor: Tensor;
  /** n × candidates. */
  readonly weights: Float64Array;
}

/** A sum of tensors, each times its weights, and a constant per candidate: what most heads end in. */
export interface LinearScores {
  readonly terms: readonly LinearTerm[];
  readonly constant: Float64Array;
}

/** A trained head: predicts here exactly what its graph predicts in the gateway, up to rounding. */
export interface TrainedHead {
  /** Predicted quality, rows × candidates. */
  predict(features: FeatureMatrix): Float64Array;
  /** Adds the head to a graph and returns the tensor of its scores, shape [1, candidates]. */
  write(graph: GraphBuilder): Tensor;
  /** The same, with its last layer still open, so that whoever combines heads can fold it into his own. Missing where the last step is not linear. */
  readonly writeOpen?: (graph: GraphBuilder) => LinearScores;
}

export interface TrainParts {
  /** The only source of chance. */
  readonly seed: number;
  /** Called with the share done, 0 to 1, now and then. */
  readonly progress?: ((share: number) => void) | undefined;
}

/** Learns quality per candidate from a set. Same set, settings and seed: same weights, bit for bit. */
export type HeadTrainer<Settings> = (set: TrainingSet, settings: Settings, parts: TrainParts) => TrainedHead;

/** Any head's scores with an open last layer. */
export function openScores(head: TrainedHead, graph: GraphBuilder, width: number): LinearScores {
  return head.writeOpen?.(graph) ?? { terms: [{ tensor: head.write(graph), weights: identity(width) }], constant: new Float64Array(width) };
}

/** Closes the last layer: one product, however many terms there are. */
export function writeLinearScores(graph: GraphBuilder, { terms, constant }: LinearScores): Tensor {
  const width = constant.length;
  const weights = Float64Array.from(terms.flatMap((term) => [...term.weights]));
  const tensors = terms.map(({ tensor }) => tensor);
  return graph.op('Gemm', [tensors.length === 1 ? tensors[0]! : graph.op('Concat', tensors, { axis: { int: 1 } }), graph.floats(weights, [weights.length / width, width]), graph.floats(constant, [1, width])]);
}

export function identity(size: number): Float64Array {
  return Float64Array.from({ length: size * size }, (_, at) => (at % (size + 1) === 0 ? 1 : 0));
}

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
