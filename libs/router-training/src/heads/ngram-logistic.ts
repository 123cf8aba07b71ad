import { NGRAM_BUCKETS } from '@pointsman/routing';
import { roundToFloat16 } from '../dataset/float16.ts';
import { fitDenseInputs } from '../features/dense-inputs.ts';
import { fitNgramWeighting } from '../features/ngram-weighting.ts';
import { sigmoid } from '../numeric/linear-algebra.ts';
import { minimise } from '../numeric/minimise.ts';
import type { HeadTrainer } from './head.ts';

export interface NgramLogisticSettings {
  /** Ridge penalty on n-gram weights, per row. */
  readonly ngramPenalty: number;
  /** Ridge penalty on weights of dense inputs, per row. */
  readonly densePenalty: number;
  readonly embeddingScale: number;
  readonly minDocuments: number;
  readonly maxIterations: number;
}

/**
 * One logistic regression per candidate over tf-idf of hashed word 1- and 2-grams, text features and, if wanted, the embedding. Predicts each
 * candidate's quality; a router compares them. No embedding model is needed at run time. Hashing: Weinberger et al., arXiv 0902.2206.
 */
export const trainNgramLogistic: HeadTrainer<NgramLogisticSettings> = (set, settings, { progress }) => {
  const { features, candidates, quality, weight } = set;
  const width = candidates.length;
  const dense = fitDenseInputs(features, { textScale: 1, embeddingScale: settings.embeddingScale });
  const weighting = fitNgramWeighting(features, settings);
  // Known buckets only, numbered from 0: the optimiser works on what exists.
  const slotOf = new Int32Array(NGRAM_BUCKETS).fill(-1);
  let slots = 0;
  weighting.documents.forEach((count, bucket) => {
    if (count >= settings.minDocuments) slotOf[bucket] = slots++;
  });
  const inputs = dense.matrix(features);
  const values = weighting.weigh(features);
  const slot = Int32Array.from(features.ngramIndex, (bucket) => slotOf[bucket]!);
  const size = slots + dense.width + 1;

  const ngramWeights = new Float64Array(NGRAM_BUCKETS * width);
  const denseWeights = new Float64Array(dense.width * width);
  const bias = new Float64Array(width);
  for (let candidate = 0; candidate < width; candidate += 1) {
    const rows: number[] = [];
    let total = 0;
    for (let row = 0; row < features.rows; row += 1) {
      if (Number.isNaN(quality[row * width + candidate]!)) continue;
      rows.push(row);
      total += weight[row]!;
    }
    const solution = minimise(new Float64Array(size), (point, gradient) => {
      let loss = 0;
      for (let index = 0; index < slots; index += 1) {
        loss += (settings.ngramPenalty / 2) * point[index]! * point[index]!;
        gradient[index] = settings.ngramPenalty * point[index]!;
      }
      for (let index = slots; index < size - 1; index += 1) {
        loss += (settings.densePenalty / 2) * point[index]! * point[index]!;
        gradient[index] = settings.densePenalty * point[index]!;
      }
      for (const row of rows) {
        let logit = point[size - 1]!;
        const start = features.ngramStart[row]!;
        const end = features.ngramStart[row + 1]!;
        for (let entry = start; entry < end; entry += 1) if (slot[entry]! >= 0) logit += point[slot[entry]!]! * values[entry]!;
        const denseStart = row * dense.width;
        for (let column = 0; column < dense.width; column += 1) logit += point[slots + column]! * inputs[denseStart + column]!;
        const target = quality[row * width + candidate]!;
        const share = weight[row]! / total;
        // log(1 + e^x) without overflow.
        loss += share * (Math.max(logit, 0) + Math.log1p(Math.exp(-Math.abs(logit))) - target * logit);
        const slope = share * (sigmoid(logit) - target);
        for (let entry = start; entry < end; entry += 1) if (slot[entry]! >= 0) gradient[slot[entry]!]! += slope * values[entry]!;
        for (let column = 0; column < dense.width; column += 1) gradient[slots + column]! += slope * inputs[denseStart + column]!;
        gradient[size - 1]! += slope;
      }
      return loss;
    }, { maxIterations: settings.maxIterations, tolerance: 1e-6 });
    slotOf.forEach((position, bucket) => {
      if (position >= 0) ngramWeights[bucket * width + candidate] = solution[position]!;
    });
    for (let column = 0; column < dense.width; column += 1) denseWeights[column * width + candidate] = solution[slots + column]!;
    bias[candidate] = solution[size - 1]!;
    progress?.((candidate + 1) / width);
  }
  const table = roundToFloat16(ngramWeights);
  return {
    predict(rows) {
      const matrix = dense.matrix(rows);
      const weighed = weighting.weigh(rows);
      const result = new Float64Array(rows.rows * width);
      for (let row = 0; row < rows.rows; row += 1) {
        for (let candidate = 0; candidate < width; candidate += 1) {
          let logit = bias[candidate]!;
          for (let column = 0; column < dense.width; column += 1) logit += matrix[row * dense.width + column]! * denseWeights[column * width + candidate]!;
          for (let entry = rows.ngramStart[row]!; entry < rows.ngramStart[row + 1]!; entry += 1) logit += weighed[entry]! * table[rows.ngramIndex[entry]! * width + candidate]!;
          result[row * width + candidate] = sigmoid(logit);
        }
      }
      return result;
    },
    write(graph) {
      const gathered = graph.cast(graph.op('Gather', [graph.halves(table, [NGRAM_BUCKETS, width]), graph.input('ngram_index')]), 'float');
      const weights = graph.op('Unsqueeze', [weighting.write(graph), graph.integers([0])]);
      const fromNgrams = graph.op('MatMul', [weights, gathered]);
      const fromDense = graph.op('Gemm', [dense.write(graph), graph.floats(denseWeights, [dense.width, width]), graph.floats(bias, [width])]);
      return graph.op('Sigmoid', [graph.op('Add', [fromNgrams, fromDense])]);
    },
  };
};
