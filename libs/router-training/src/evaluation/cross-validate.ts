import { assignFolds } from '../dataset/folds.ts';
import { selectFeatures, selectTrainingRows, type TrainingSet } from '../features/feature-matrix.ts';
import type { TrainedHead } from '../heads/head.ts';

/** The rows of one fold and what was predicted for them by a head that saw none of them. */
export interface FoldPrediction {
  readonly rows: Int32Array;
  /** rows × candidates. */
  readonly predicted: Float64Array;
}

export interface CrossValidation {
  readonly set: TrainingSet;
  /** Folds balance these labels. */
  readonly strata: readonly string[];
  readonly folds: number;
  readonly seed: number;
  /** Trains on this many rows of the other folds only. */
  readonly trainingRows?: number | undefined;
}

/** Predictions of an earlier run, so that a long evaluation can be taken up again. Whoever keeps them makes the key: it does not know when a trainer changes. */
export interface PredictionStore {
  get(key: string): Float64Array | undefined;
  set(key: string, predicted: Float64Array): void;
}

export interface Remembered {
  readonly store: PredictionStore;
  /** Names data, features, strategy and settings. */
  readonly key: string;
}

/** The rows of each fold. */
export function heldRows({ set, strata, folds, seed }: CrossValidation): Int32Array[] {
  const fold = assignFolds({ groups: set.groups, strata, folds, seed });
  return Array.from({ length: folds }, (_, index) => Int32Array.from(fold.keys()).filter((row) => fold[row] === index));
}

/** Trains on all folds but one and predicts that one, for each. */
export function crossValidate(options: CrossValidation, train: (set: TrainingSet, fold: number) => TrainedHead, remembered?: Remembered): FoldPrediction[] {
  const { set, trainingRows = Infinity } = options;
  const held = heldRows(options);
  return held.map((rows, fold) => {
    const key = `${remembered?.key ?? ''}-${fold}-of-${options.folds}-seed-${options.seed}-rows-${trainingRows}`;
    const known = remembered?.store.get(key);
    if (known?.length === rows.length * set.candidates.length) return { rows, predicted: known };
    const others = held.filter((_, index) => index !== fold);
    const training = trainingRows === Infinity ? concatenated(others) : evenly(concatenated(others), trainingRows);
    const predicted = train(selectTrainingRows(set, training), fold).predict(selectFeatures(set.features, rows));
    remembered?.store.set(key, predicted);
    return { rows, predicted };
  });
}

function concatenated(parts: readonly Int32Array[]): Int32Array {
  return Int32Array.from(parts.flatMap((part) => [...part])).sort();
}

/** `count` rows spread over all. */
function evenly(rows: Int32Array, count: number): Int32Array {
  if (rows.length <= count) return rows;
  return Int32Array.from({ length: count }, (_, index) => rows[Math.floor((index * rows.length) / count)]!);
}
