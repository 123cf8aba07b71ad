import { principalComponents } from './principal-components.ts';

export interface DistilledTable {
  /** Vector of a token = its row × its scale. */
  readonly scales: Float32Array;
  readonly rows: Int8Array;
  /** Share of the variance of the token vectors that the kept dimensions hold. */
  readonly varianceKept: number;
}

export interface DistillOptions {
  /** Dimensions of the model's vectors. */
  readonly modelDimensions: number;
  /** Dimensions of the table. */
  readonly dimensions: number;
  /** How often each token stands in the corpus. */
  readonly counts: Float64Array;
}

/** SIF's constant: a token this frequent weighs half as much as one that is never seen. */
const SIF_CONSTANT = 1e-3;

/**
 * The table of a static embedder from one vector per token (`vectors`, row after row): centred, reduced by PCA, each row times its SIF weight
 * 1e-3 / (1e-3 + frequency) (Arora et al. 2017), then int8 with one scale per row, so that the rows of frequent tokens keep their precision.
 */
export function distillTable(vectors: Float32Array, { modelDimensions, dimensions, counts }: DistillOptions): DistilledTable {
  const { mean, components, variances, totalVariance } = principalComponents(vectors, { dimensions: modelDimensions, count: dimensions });
  const tokens = vectors.length / modelDimensions;
  const total = Math.max(1, counts.reduce((sum, count) => sum + count, 0));
  const scales = new Float32Array(tokens);
  const rows = new Int8Array(tokens * dimensions);
  const centred = new Float64Array(modelDimensions);
  const reduced = new Float64Array(dimensions);
  for (let token = 0; token < tokens; token += 1) {
    for (let at = 0; at < modelDimensions; at += 1) centred[at] = vectors[token * modelDimensions + at]! - mean[at]!;
    let largest = 0;
    components.forEach((component, dimension) => {
      let sum = 0;
      for (let at = 0; at < modelDimensions; at += 1) sum += component[at]! * centred[at]!;
      reduced[dimension] = sum;
      largest = Math.max(largest, Math.abs(sum));
    });
    const step = largest / 127;
    for (let at = 0; at < dimensions; at += 1) rows[token * dimensions + at] = step === 0 ? 0 : Math.round(reduced[at]! / step);
    scales[token] = (step * SIF_CONSTANT) / (SIF_CONSTANT + counts[token]! / total);
  }
  return { scales, rows, varianceKept: variances.reduce((sum, variance) => sum + variance, 0) / Math.max(totalVariance, Number.MIN_VALUE) };
}
