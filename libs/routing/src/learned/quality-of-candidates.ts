import type { ModelManifest } from '@pointsman/schemas';
import type { Candidate } from '../strategy.ts';
import { believedQuality, relativeStrength } from './believed-quality.ts';

/** Columns of a model that was trained on tiers instead of models: it knows how hard a prompt is, not who is asked. */
const WEAK = 'weak';
const STRONG = 'strong';

export interface QualityOfCandidates {
  /** Predicted quality per candidate, in their order, out of a model's scores. */
  read(scores: Float32Array): number[];
  /** Whether a candidate's quality is a belief and not a prediction. */
  readonly isBelieved: readonly boolean[];
}

/**
 * How the columns of a router model are read for a set of candidates. A candidate is found by its group, its model, or a name of `llm_candidates.json`.
 * A model with the columns `weak` and `strong` is read for any candidates: between the two, by how strong each is believed to be among the others.
 * A candidate that the model was not trained on keeps the quality it is believed to have.
 */
export function qualityOfCandidates({ candidates: columns }: Pick<ModelManifest, 'candidates'>, candidates: readonly Candidate[]): QualityOfCandidates {
  const columnOf = new Map(columns.map((name, column) => [name, column]));
  const found = candidates.map((candidate) => namesOf(candidate).map((name) => columnOf.get(name)).find((column) => column !== undefined));
  const [weak, strong] = [columnOf.get(WEAK), columnOf.get(STRONG)];
  if (columns.length === 2 && weak !== undefined && strong !== undefined && found.every((column) => column === undefined)) {
    const strength = relativeStrength(candidates);
    return {
      isBelieved: candidates.map(() => false),
      read: (scores) => strength.map((share) => (scores[weak] ?? NaN) * (1 - share) + (scores[strong] ?? NaN) * share),
    };
  }
  const believed = believedQuality(candidates);
  return {
    isBelieved: found.map((column) => column === undefined),
    read: (scores) => found.map((column, index) => (column === undefined ? believed[index] ?? 0.5 : scores[column] ?? NaN)),
  };
}

function namesOf({ group, model, knownAs = [] }: Candidate): readonly string[] {
  return [...knownAs, model, group];
}
