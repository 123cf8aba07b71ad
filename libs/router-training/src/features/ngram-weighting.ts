import { NGRAM_BUCKETS } from '@pointsman/routing';
import { roundToFloat16 } from '../dataset/float16.ts';
import type { GraphBuilder, Tensor } from '../onnx-writer/graph-builder.ts';
import type { FeatureMatrix } from './feature-matrix.ts';

const SMALLEST_NORM = 1e-6;

/** tf-idf with rows of length 1. The inverse document frequencies live in the graph. */
export interface NgramWeighting {
  /** How many training rows hold each bucket. */
  readonly documents: Int32Array;
  /** The weighted, normalised values, in the layout of `ngramIndex`. */
  weigh(features: FeatureMatrix): Float64Array;
  /** Shape [N]. */
  write(graph: GraphBuilder): Tensor;
}

/** Buckets seen in fewer than `minDocuments` training rows get weight 0: they are as good as unknown. */
export function fitNgramWeighting(training: FeatureMatrix, { minDocuments }: { readonly minDocuments: number }): NgramWeighting {
  const documents = new Int32Array(NGRAM_BUCKETS);
  for (let entry = 0; entry < training.ngramIndex.length; entry += 1) if (training.ngramValue[entry] !== 0) documents[training.ngramIndex[entry]!]! += 1;
  let owners = 0;
  for (let row = 0; row < training.rows; row += 1) if (training.ngramStart[row + 1]! > training.ngramStart[row]!) owners += 1;
  const idf = roundToFloat16(Float64Array.from(documents, (count) => (count < minDocuments ? 0 : Math.log((1 + owners) / (1 + count)) + 1)));
  return {
    documents,
    weigh(features) {
      const result = new Float64Array(features.ngramIndex.length);
      for (let row = 0; row < features.rows; row += 1) {
        const end = features.ngramStart[row + 1]!;
        let squares = 0;
        for (let entry = features.ngramStart[row]!; entry < end; entry += 1) {
          const value = features.ngramValue[entry]! * idf[features.ngramIndex[entry]!]!;
          result[entry] = value;
          squares += value * value;
        }
        const norm = Math.max(SMALLEST_NORM, Math.sqrt(squares));
        for (let entry = features.ngramStart[row]!; entry < end; entry += 1) result[entry]! /= norm;
      }
      return result;
    },
    write(graph) {
      const weights = graph.cast(graph.op('Gather', [graph.halves(idf, [NGRAM_BUCKETS]), graph.input('ngram_index')]), 'float');
      const weighted = graph.op('Mul', [graph.input('ngram_value'), weights]);
      const norm = graph.op('ReduceL2', [weighted], { axes: { ints: [0] }, keepdims: { int: 1 } });
      return graph.op('Div', [weighted, graph.op('Max', [norm, graph.scalar(SMALLEST_NORM)])]);
    },
  };
}
