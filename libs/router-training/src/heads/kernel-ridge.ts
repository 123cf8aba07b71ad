import { NGRAM_BUCKETS, seededRandom } from '@pointsman/routing';
import { roundToFloat16 } from '../dataset/float16.ts';
import { shuffled } from '../dataset/folds.ts';
import { fitDenseInputs, type DenseInputs, type DenseSettings } from '../features/dense-inputs.ts';
import type { FeatureMatrix } from '../features/feature-matrix.ts';
import { fitNgramWeighting, type NgramWeighting } from '../features/ngram-weighting.ts';
import { choleskyFactor, dot, product, solveWithFactor } from '../numeric/linear-algebra.ts';
import type { GraphBuilder } from '../onnx-writer/graph-builder.ts';
import { identity, meanQuality, writeLinearScores, type HeadTrainer, type LinearScores, type LinearTerm } from './head.ts';

export interface KernelSettings extends DenseSettings {
  /** Of the Gaussian kernel exp(-gamma · distance²). */
  readonly gamma: number;
  /** Training rows that stand for all in this kernel: they set its cost and size. */
  readonly landmarks: number;
  /** How much this kernel counts beside the others. */
  readonly share: number;
}

export interface KernelRidgeSettings {
  readonly kernels: readonly KernelSettings[];
  /** How much the linear kernel over tf-idf n-grams counts; 0 leaves n-grams out. */
  readonly ngramShare: number;
  readonly minDocuments: number;
  /** Ridge penalty, per row. */
  readonly penalty: number;
}

const JITTER = 1e-4;
const MAX_ITERATIONS = 60;
const RESIDUAL = 1e-3;

interface NystromKernel {
  readonly dense: DenseInputs;
  readonly landmarks: Float64Array;
  readonly size: number;
  /** Cholesky factor of the kernel among landmarks. */
  readonly factor: Float64Array;
  /** Kernel between training rows and landmarks. */
  readonly training: Float64Array;
  readonly settings: KernelSettings;
}

/**
 * Kernel ridge regression per candidate on a sum of kernels: Gaussian ones over dense inputs and a linear one over hashed n-grams. Fitted jointly, so that
 * n-grams explain what the smooth kernels do not. Gaussian kernels use a random subset of regressors (Nyström; Williams and Seeger, NIPS 2000; Rudi et al.,
 * arXiv 1507.04717): all rows teach, only landmarks are kept. Solved in the dual by conjugate gradients.
 */
export const trainKernelRidge: HeadTrainer<KernelRidgeSettings> = (set, settings, { seed, progress }) => {
  const { features, candidates, quality, weight } = set;
  const width = candidates.length;
  const kernels = settings.kernels.map((kernel, index) => nystromKernel(features, kernel, seed + index));
  const ngrams = settings.ngramShare === 0 || features.ngramIndex.length === 0 ? undefined : fitNgramWeighting(features, settings);
  const ngramRows = ngrams === undefined ? undefined : knownNgrams(features, ngrams, settings);
  progress?.(0.3);

  const means = meanQuality(set);
  const ngramTable = new Float64Array(ngrams === undefined ? 0 : NGRAM_BUCKETS * width);
  const coefficients = kernels.map(({ size }) => new Float64Array(size * width));
  for (let candidate = 0; candidate < width; candidate += 1) {
    const rows = Int32Array.from({ length: features.rows }, (_, row) => row).filter((row) => !Number.isNaN(quality[row * width + candidate]!));
    if (rows.length === 0) continue;
    const targets = Float64Array.from(rows, (row) => quality[row * width + candidate]! - means[candidate]!);
    const total = rows.reduce((sum, row) => sum + weight[row]!, 0);
    // A row that counts double bears half the ridge.
    const ridge = Float64Array.from(rows, (row) => (settings.penalty * total) / weight[row]!);
    const dual = conjugateGradients((vector) => {
      const result = vector.map((value, index) => value * ridge[index]!);
      for (const kernel of kernels) addKernelProduct(kernel, landmarkWeights(kernel, rows, vector), rows, result);
      if (ngramRows !== undefined) addNgramProduct(ngramRows, ngramWeights(ngramRows, rows, vector), rows, result);
      return result;
    }, targets);
    kernels.forEach((kernel, index) => {
      landmarkWeights(kernel, rows, dual).forEach((value, landmark) => {
        coefficients[index]![landmark * width + candidate] = value;
      });
    });
    if (ngramRows !== undefined) {
      ngramWeights(ngramRows, rows, dual).forEach((value, slot) => {
        ngramTable[ngramRows.bucketOf[slot]! * width + candidate] = value;
      });
    }
    progress?.(0.3 + (0.7 * (candidate + 1)) / width);
  }
  const table = roundToFloat16(ngramTable);
  return {
    predict(rows) {
      const result = Float64Array.from({ length: rows.rows * width }, (_, index) => means[index % width]!);
      kernels.forEach(({ dense, landmarks, size, settings: { gamma } }, index) => {
        const part = product(gaussianKernel(dense.matrix(rows), landmarks, dense.width, gamma), size, coefficients[index]!, width);
        for (let at = 0; at < result.length; at += 1) result[at]! += part[at]!;
      });
      if (ngrams !== undefined) {
        const values = ngrams.weigh(rows);
        for (let row = 0; row < rows.rows; row += 1) {
          for (let entry = rows.ngramStart[row]!; entry < rows.ngramStart[row + 1]!; entry += 1) {
            for (let candidate = 0; candidate < width; candidate += 1) result[row * width + candidate]! += values[entry]! * table[rows.ngramIndex[entry]! * width + candidate]!;
          }
        }
      }
      return result;
    },
    write: (graph) => writeLinearScores(graph, writeOpen(graph)),
    writeOpen,
  };

  function writeOpen(graph: GraphBuilder): LinearScores {
    const terms: LinearTerm[] = kernels.map(({ dense, landmarks, size, settings: { gamma } }, index) => {
      const { tensor: x, scale } = dense.writeUnscaled(graph);
      const transposed = new Float64Array(landmarks.length);
      for (let row = 0; row < size; row += 1) for (let column = 0; column < dense.width; column += 1) transposed[column * size + row] = landmarks[row * dense.width + column]!;
      // exp(-γ|x - l|²) = exp(2γ x·l - γ|x|²) · exp(-γ|l|²): the last factor is a constant of the landmark and goes into its coefficients.
      const own = graph.op('MatMul', [graph.op('Mul', [x, x]), graph.floats(scale.map((factor) => -gamma * factor * factor), [dense.width, 1])]);
      const towards = graph.op('Mul', [x, graph.floats(scale.map((factor) => 2 * gamma * factor), [1, dense.width])]);
      const near = graph.op('Exp', [graph.op('Gemm', [towards, graph.cast(graph.halves(transposed, [dense.width, size]), 'float'), own])]);
      const norms = squaredNorms(landmarks, dense.width);
      return { tensor: near, weights: coefficients[index]!.map((value, at) => value * Math.exp(-gamma * norms[Math.floor(at / width)]!)) };
    });
    if (ngrams !== undefined) {
      const rows = graph.cast(graph.op('Gather', [graph.halves(table, [NGRAM_BUCKETS, width]), graph.input('ngram_index')]), 'float');
      const weights = graph.op('Unsqueeze', [ngrams.write(graph), graph.integers([0])]);
      terms.push({ tensor: graph.op('MatMul', [weights, rows]), weights: identity(width) });
    }
    return { terms, constant: means };
  }
};

function nystromKernel(features: FeatureMatrix, settings: KernelSettings, seed: number): NystromKernel {
  const dense = fitDenseInputs(features, settings);
  const inputs = dense.matrix(features);
  const size = Math.min(settings.landmarks, features.rows);
  const chosen = shuffled(Array.from({ length: features.rows }, (_, row) => row), seededRandom(seed)).slice(0, size);
  const landmarks = new Float64Array(size * dense.width);
  chosen.forEach((row, index) => landmarks.set(inputs.subarray(row * dense.width, (row + 1) * dense.width), index * dense.width));
  // Half precision in the file: training sees what will be served.
  const kept = Float64Array.from(roundToFloat16(landmarks));
  const own = gaussianKernel(kept, kept, dense.width, settings.gamma);
  for (let index = 0; index < size; index += 1) own[index * size + index]! += JITTER;
  return { dense, landmarks: kept, size, factor: choleskyFactor(own, size), training: gaussianKernel(inputs, kept, dense.width, settings.gamma), settings };
}

/** `share · (Kₘₘ)⁻¹ · Kₘₙ · vector`: what the landmarks weigh when the dual variables are `vector`. */
function landmarkWeights({ training, size, factor, settings }: NystromKernel, rows: Int32Array, vector: Float64Array): Float64Array {
  const sums = new Float64Array(size);
  rows.forEach((row, index) => {
    const value = vector[index]! * settings.share;
    const at = row * size;
    for (let landmark = 0; landmark < size; landmark += 1) sums[landmark] = sums[landmark]! + value * training[at + landmark]!;
  });
  return solveWithFactor(factor, size, sums);
}

function addKernelProduct({ training, size }: NystromKernel, weights: Float64Array, rows: Int32Array, result: Float64Array): void {
  rows.forEach((row, index) => {
    let sum = 0;
    const at = row * size;
    for (let landmark = 0; landmark < size; landmark += 1) sum += training[at + landmark]! * weights[landmark]!;
    result[index]! += sum;
  });
}

/** Weighted n-grams with the buckets that training knows numbered from 0: far fewer than there are buckets. */
interface KnownNgrams {
  readonly start: Int32Array;
  readonly slot: Int32Array;
  readonly value: Float64Array;
  readonly bucketOf: Int32Array;
  readonly share: number;
}

function knownNgrams(features: FeatureMatrix, weighting: NgramWeighting, { minDocuments, ngramShare }: KernelRidgeSettings): KnownNgrams {
  const bucketOf = Int32Array.from(weighting.documents.keys()).filter((bucket) => weighting.documents[bucket]! >= minDocuments);
  const slotOf = new Int32Array(NGRAM_BUCKETS).fill(-1);
  bucketOf.forEach((bucket, slot) => {
    slotOf[bucket] = slot;
  });
  const weighed = weighting.weigh(features);
  const start = new Int32Array(features.rows + 1);
  const slot: number[] = [];
  const value: number[] = [];
  for (let row = 0; row < features.rows; row += 1) {
    for (let entry = features.ngramStart[row]!; entry < features.ngramStart[row + 1]!; entry += 1) {
      const known = slotOf[features.ngramIndex[entry]!]!;
      if (known === -1) continue;
      slot.push(known);
      value.push(weighed[entry]!);
    }
    start[row + 1] = slot.length;
  }
  return { start, slot: Int32Array.from(slot), value: Float64Array.from(value), bucketOf, share: ngramShare };
}

/** What the n-grams weigh when the dual variables are `vector`. */
function ngramWeights({ start, slot, value, bucketOf, share }: KnownNgrams, rows: Int32Array, vector: Float64Array): Float64Array {
  const weights = new Float64Array(bucketOf.length);
  rows.forEach((row, index) => {
    const dual = vector[index]! * share;
    for (let entry = start[row]!; entry < start[row + 1]!; entry += 1) weights[slot[entry]!] = weights[slot[entry]!]! + dual * value[entry]!;
  });
  return weights;
}

function addNgramProduct({ start, slot, value }: KnownNgrams, weights: Float64Array, rows: Int32Array, result: Float64Array): void {
  rows.forEach((row, index) => {
    let sum = 0;
    for (let entry = start[row]!; entry < start[row + 1]!; entry += 1) sum += weights[slot[entry]!]! * value[entry]!;
    result[index]! += sum;
  });
}

/** Solves `apply(x) = target` for a symmetric positive definite operator (Hestenes and Stiefel 1952). */
function conjugateGradients(apply: (vector: Float64Array) => Float64Array, target: Float64Array): Float64Array {
  const solution = new Float64Array(target.length);
  const residual = Float64Array.from(target);
  const direction = Float64Array.from(target);
  let energy = dot(residual, residual);
  const enough = energy * RESIDUAL ** 2;
  for (let iteration = 0; iteration < MAX_ITERATIONS && energy > enough; iteration += 1) {
    const image = apply(direction);
    const step = energy / dot(direction, image);
    for (let index = 0; index < solution.length; index += 1) {
      solution[index]! += step * direction[index]!;
      residual[index]! -= step * image[index]!;
    }
    const next = dot(residual, residual);
    for (let index = 0; index < direction.length; index += 1) direction[index] = residual[index]! + (next / energy) * direction[index]!;
    energy = next;
  }
  return solution;
}

function gaussianKernel(a: Float64Array, b: Float64Array, width: number, gamma: number): Float64Array {
  const rows = a.length / width;
  const columns = b.length / width;
  const normsA = squaredNorms(a, width);
  const normsB = squaredNorms(b, width);
  const result = new Float64Array(rows * columns);
  const near = (row: number, column: number, inner: number): void => {
    result[row * columns + column] = Math.exp(-gamma * Math.max(0, normsA[row]! + normsB[column]! - 2 * inner));
  };
  for (let row = 0; row < rows; row += 1) {
    const left = row * width;
    // Four columns at a time: additions into one sum wait for each other, four sums do not.
    let column = 0;
    for (; column + 3 < columns; column += 4) {
      const r0 = column * width;
      const r1 = r0 + width;
      const r2 = r1 + width;
      const r3 = r2 + width;
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      let s3 = 0;
      for (let index = 0; index < width; index += 1) {
        const value = a[left + index]!;
        s0 += value * b[r0 + index]!;
        s1 += value * b[r1 + index]!;
        s2 += value * b[r2 + index]!;
        s3 += value * b[r3 + index]!;
      }
      near(row, column, s0);
      near(row, column + 1, s1);
      near(row, column + 2, s2);
      near(row, column + 3, s3);
    }
    for (; column < columns; column += 1) {
      let sum = 0;
      for (let index = 0; index < width; index += 1) sum += a[left + index]! * b[column * width + index]!;
      near(row, column, sum);
    }
  }
  return result;
}

function squaredNorms(rows: Float64Array, width: number): Float64Array {
  return Float64Array.from({ length: rows.length / width }, (_, row) => {
    const vector = rows.subarray(row * width, (row + 1) * width);
    return dot(vector, vector);
  });
}
