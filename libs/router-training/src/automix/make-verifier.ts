import { ANSWER_SEPARATOR, FEATURE_VERSION } from '@pointsman/routing';
import type { OutcomeRow } from '../dataset/outcome-row.ts';
import type { TrainingSet } from '../features/feature-matrix.ts';
import { goldenPrompts } from '../golden-prompts.ts';
import type { TrainedHead } from '../heads/head.ts';
import { trainVerifier, verifierMatrix, verifierSet } from './verifier.ts';

const ANSWERS = ['The answer is 12.', '3 + 4 = 7\n#### 7', 'First, 5 * 6 = 31. So 31 - 2 = 29.\n#### 29', 'I cannot tell.', ''];

/** What an artifact of the strategy `llmrouter-automix` is made of. */
export interface VerifierParts {
  readonly set: TrainingSet;
  readonly head: TrainedHead;
  readonly features: { readonly version: number; readonly embedder: { readonly name: 'none'; readonly sha256: ''; readonly dimensions: 0 } };
  /** `question␞answer`, as the self-test of a verifier reads golden prompts. */
  readonly goldenPrompts: readonly string[];
  readonly goldenScores: Float64Array;
}

export function makeVerifier(rows: readonly OutcomeRow[], seed: number, goldenRows: number): VerifierParts {
  const set = verifierSet(rows);
  const head = trainVerifier(set, seed);
  const pairs = goldenPrompts(goldenRows, seed).map((prompt, index) => ({ prompt, answer: ANSWERS[index % ANSWERS.length]! }));
  return {
    set, head, features: { version: FEATURE_VERSION, embedder: { name: 'none', sha256: '', dimensions: 0 } },
    goldenPrompts: pairs.map(({ prompt, answer }) => `${prompt}${ANSWER_SEPARATOR}${answer}`), goldenScores: head.predict(verifierMatrix(pairs)),
  };
}
