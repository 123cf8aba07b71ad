import { assignFolds } from '../dataset/folds.ts';
import { selectFeatures, selectTrainingRows, type TrainingSet } from '../features/feature-matrix.ts';
import type { TrainedHead } from './head.ts';

/** Rows inside and outside of each fold. */
export function foldRows(set: TrainingSet, folds: number, seed: number): { readonly training: Int32Array; readonly held: Int32Array }[] {
  const fold = assignFolds({ groups: set.groups, strata: Array.from(set.groups, () => ''), folds, seed });
  const rows = Int32Array.from(fold, (_, row) => row);
  return Array.from({ length: folds }, (_, index) => ({ training: rows.filter((row) => fold[row] !== index), held: rows.filter((row) => fold[row] === index) }));
}

/** Predictions for every row by a head that did not see the row's fold. */
export function outOfFold(set: TrainingSet, folds: number, seed: number, train: (part: TrainingSet) => TrainedHead): Float64Array {
  const width = set.candidates.length;
  const result = new Float64Array(set.quality.length);
  for (const { training, held } of foldRows(set, folds, seed)) {
    const predicted = train(selectTrainingRows(set, training)).predict(selectFeatures(set.features, held));
    held.forEach((row, index) => result.set(predicted.subarray(index * width, (index + 1) * width), row * width));
  }
  return result;
}

export interface Chosen<T> {
  readonly value: T;
  /** What its heads predicted for rows they did not see: `outOfFold` with three folds and the same seed. */
  readonly unseen: Float64Array;
}

export const CHOICE_FOLDS = 3;

/** The value whose heads predict best on rows they did not see: squared error of the differences between candidates, which is what routing looks at. */
export function chooseByFolds<T>(set: TrainingSet, values: readonly T[], train: (part: TrainingSet, value: T) => TrainedHead, seed: number): Chosen<T> {
  const tried = values.map((value) => {
    const unseen = outOfFold(set, CHOICE_FOLDS, seed, (part) => train(part, value));
    return { value, unseen, error: relativeError(set, unseen) };
  });
  return tried.reduce((best, next) => (next.error < best.error ? next : best));
}

/** Mean squared error of quality against the row's mean over its known candidates; plain squared error for rows that know one candidate. */
export function relativeError(set: TrainingSet, predicted: Float64Array): number {
  const width = set.candidates.length;
  let sum = 0;
  let total = 0;
  for (let row = 0; row < set.weight.length; row += 1) {
    let known = 0;
    let offset = 0;
    for (let candidate = 0; candidate < width; candidate += 1) {
      const quality = set.quality[row * width + candidate]!;
      if (Number.isNaN(quality)) continue;
      known += 1;
      offset += predicted[row * width + candidate]! - quality;
    }
    const shift = known > 1 ? offset / known : 0;
    for (let candidate = 0; candidate < width; candidate += 1) {
      const quality = set.quality[row * width + candidate]!;
      if (Number.isNaN(quality)) continue;
      sum += set.weight[row]! * (predicted[row * width + candidate]! - quality - shift) ** 2;
      total += set.weight[row]!;
    }
  }
  return total === 0 ? 0 : sum / total;
}
