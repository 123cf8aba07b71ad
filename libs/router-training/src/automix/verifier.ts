import { AppError } from '@pointsman/errors';
import { ANSWER_FEATURES, verifierFeatures } from '@pointsman/routing';
import type { OutcomeRow } from '../dataset/outcome-row.ts';
import { modelsOf, trainingSetOf } from '../dataset/training-set.ts';
import type { FeatureMatrix, TrainingSet } from '../features/feature-matrix.ts';
import type { TrainedHead } from '../heads/head.ts';
import { trainKernelRidge } from '../heads/kernel-ridge.ts';

/**
 * What a verifier learns from: text features of question and answer, and the quality of the model that answered (first column) and of all others. The answering model is the
 * worst one of those whose answers every row holds. Throws an AppError `no_answers` when there is none: `{model}_response` or `responses` must be in the data.
 */
export function verifierSet(rows: readonly OutcomeRow[]): TrainingSet {
  const models = modelsOf(rows);
  const mean = (model: string): number => rows.reduce((sum, row) => sum + (row.quality.get(model) ?? 0), 0);
  const [answering] = models.filter((model) => rows.every(({ answers, prompt }) => prompt !== undefined && answers.has(model))).sort((a, b) => mean(a) - mean(b));
  if (answering === undefined || rows.length === 0) throw new AppError('invalid_request', 'no_answers', 'A verifier learns from answers: every row needs its prompt and {model}_response of one and the same model.');
  const features = verifierMatrix(rows.map((row) => ({ prompt: row.prompt!, answer: row.answers.get(answering)! })));
  return trainingSetOf(rows, features, [answering, ...models.filter((model) => model !== answering)]);
}

export function verifierMatrix(pairs: readonly { readonly prompt: string; readonly answer: string }[]): FeatureMatrix {
  const textWidth = ANSWER_FEATURES.length;
  const text = new Float32Array(pairs.length * textWidth);
  pairs.forEach(({ prompt, answer }, row) => text.set(verifierFeatures(prompt, answer).text, row * textWidth));
  return {
    rows: pairs.length, textWidth, text, embedding: new Float32Array(0), embeddingWidth: 0, ngramIndex: new Int32Array(0), ngramStart: new Int32Array(pairs.length + 1), ngramValue: new Float32Array(0),
  };
}

/**
 * The verifier of a cascade (after AutoMix, arXiv 2310.12963, with a learned check instead of a question to a model): from a question and the cheap model's answer it
 * predicts how good that answer is, and how good the others' would be. Escalate where the difference is worth the price.
 */
export function trainVerifier(set: TrainingSet, seed: number): TrainedHead {
  return trainKernelRidge(set, { kernels: [{ textScale: 1, embeddingScale: 0, gamma: 0.005, landmarks: 800, share: 1 }], ngramShare: 0, minDocuments: 2, penalty: 2e-3 }, { seed });
}
