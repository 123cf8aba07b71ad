import { assignFolds } from '../dataset/folds.ts';
import { selectFeatures, type TrainingSet } from '../features/feature-matrix.ts';
import { selectTrainingRows } from '../features/feature-matrix.ts';
import { trainKernelRidge } from '../heads/kernel-ridge.ts';
import type { DecisionLog } from './decision-log.ts';

export interface RewardModelOptions {
  readonly folds: number;
  readonly seed: number;
}

const LANDMARKS = 120;
/** Weights of rows in the fit: less than in the estimate, as a model learns nothing from one row that counts for fifty. */
const MAX_WEIGHT = 10;

/**
 * Predicted quality of every model for every decision, 0 to 1, each by a model that did not see the decision (cross-fitting: Chernozhukov et al., Econometrics Journal
 * 2018): decisions × models. A model that was never selected gets 0.5.
 */
export function crossFittedReward(log: DecisionLog, { folds, seed }: RewardModelOptions): Float64Array {
  const width = log.models.length;
  const rows = log.decisions.length;
  const quality = new Float32Array(rows * width).fill(Number.NaN);
  log.decisions.forEach(({ reward }, row) => {
    quality[row * width + log.action[row]!] = reward;
  });
  const set: TrainingSet = {
    features: log.features, candidates: log.models, quality, groups: Int32Array.from({ length: rows }, (_, row) => row),
    weight: Float32Array.from(log.decisions, ({ propensity }, row) => log.sampleWeight[row]! * Math.min(MAX_WEIGHT, 1 / propensity)),
  };
  // Each model's rows are spread over the folds: with few of them, a fold could otherwise have none to learn from.
  const fold = assignFolds({ groups: set.groups, strata: Array.from(log.action, String), folds, seed });
  const every = Int32Array.from({ length: rows }, (_, row) => row);
  const result = new Float64Array(rows * width);
  for (let index = 0; index < folds; index += 1) {
    const held = every.filter((row) => fold[row] === index);
    const training = every.filter((row) => fold[row] !== index);
    if (held.length === 0 || training.length === 0) continue;
    const part = selectTrainingRows(set, training);
    const head = trainKernelRidge(part, {
      kernels: [{ textScale: 1, embeddingScale: part.features.embeddingWidth === 0 ? 0 : 5, gamma: 0.02, landmarks: LANDMARKS, share: 1 }], ngramShare: 0, minDocuments: 2, penalty: 5e-2,
    }, { seed });
    const predicted = head.predict(selectFeatures(set.features, held));
    held.forEach((row, place) => {
      for (let model = 0; model < width; model += 1) result[row * width + model] = Math.min(1, Math.max(0, predicted[place * width + model]!));
    });
  }
  return result;
}
