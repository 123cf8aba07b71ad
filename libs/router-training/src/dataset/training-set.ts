import { AppError } from '@pointsman/errors';
import type { FeatureMatrix, TrainingSet } from '../features/feature-matrix.ts';
import type { OutcomeRow } from './outcome-row.ts';
import { questionGroups } from './question-groups.ts';

const MAX_CANDIDATES = 1_000;

/** Rows and their features as heads learn from them. Candidates are all models that any row names, in alphabetical order unless given. */
export function trainingSetOf(rows: readonly OutcomeRow[], features: FeatureMatrix, candidates: readonly string[] = modelsOf(rows)): TrainingSet {
  if (candidates.length === 0 || candidates.length > MAX_CANDIDATES) throw new AppError('invalid_request', 'invalid_dataset', `The rows name ${candidates.length} models; expected 1 to ${MAX_CANDIDATES}.`);
  const quality = new Float32Array(rows.length * candidates.length).fill(Number.NaN);
  rows.forEach((row, index) => {
    candidates.forEach((candidate, column) => {
      const value = row.quality.get(candidate);
      if (value !== undefined) quality[index * candidates.length + column] = value;
    });
  });
  return { features, candidates, quality, weight: Float32Array.from(rows, (row) => row.weight), groups: questionGroups(rows) };
}

/** Every model that a row names, in alphabetical order. */
export function modelsOf(rows: readonly OutcomeRow[]): string[] {
  return [...new Set(rows.flatMap((row) => [...row.quality.keys()]))].sort();
}
