import { readOutcomes } from './dataset/read-outcomes.ts';
import { trainingSetOf } from './dataset/training-set.ts';
import { AppError } from '@pointsman/errors';
import { TEXT_FEATURES } from '@pointsman/routing';
import type { FoldPrediction } from './evaluation/cross-validate.ts';
import { compareManyModels, type ManyModelRow } from './evaluation/many-model-report.ts';
import { compareTwoModels, entryOf, type TwoModelRow } from './evaluation/two-model-report.ts';
import { barePrompt, stackFeatures } from './features/extract-features.ts';
import { meanQuality } from './heads/head.ts';
import { openArtifact } from './score-artifact.ts';

export interface EvaluateArtifactOptions {
  readonly artifact: string;
  /** Outcomes the artifact was not trained on: nobody checks that here. Rows must have prompts. */
  readonly dataFiles: readonly string[];
  readonly limit?: number | undefined;
  readonly draws?: number | undefined;
  readonly seed?: number | undefined;
  readonly minilmDirectory?: string | undefined;
  readonly progress?: ((share: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type ArtifactReport =
  | { readonly kind: 'two-models'; readonly rows: number; readonly weak: string; readonly strong: string; readonly table: readonly TwoModelRow[] }
  | { readonly kind: 'many-models'; readonly rows: number; readonly table: readonly ManyModelRow[] };

/**
 * Runs an artifact over questions with known outcomes and reports how well it routes, next to random and prompt length. Only rows that know the quality of every
 * candidate count. Throws an AppError `no_complete_rows` when there are none; else as `loadRouterModel`.
 */
export async function evaluateArtifact({ artifact, dataFiles, limit, draws = 1_000, seed = 1, minilmDirectory, progress, signal }: EvaluateArtifactOptions): Promise<ArtifactReport> {
  const opened = await openArtifact(artifact, minilmDirectory, signal);
  try {
    const { candidates } = opened.model.manifest;
    const rows = (await readOutcomes(dataFiles, { limit, signal })).filter((row) => row.prompt !== undefined && candidates.every((candidate) => row.quality.has(candidate)));
    if (rows.length === 0) throw new AppError('invalid_request', 'no_complete_rows', `No row has a prompt and the quality of every candidate (${candidates.join(', ')}).`);
    const features = [];
    const predicted = new Float64Array(rows.length * candidates.length);
    for (const [index, row] of rows.entries()) {
      signal?.throwIfAborted();
      const made = await opened.extractor.extract(barePrompt(row.prompt!));
      predicted.set(await opened.model.predict(made), index * candidates.length);
      features.push(made);
      if (index % 100 === 0) progress?.(index / rows.length);
    }
    progress?.(1);
    const set = trainingSetOf(rows, stackFeatures(features, opened.extractor.embedder.dimensions), candidates);
    const every = Int32Array.from(rows.keys());
    const router = opened.model.manifest.strategy;
    const folds: FoldPrediction[] = [{ rows: every, predicted }];
    if (candidates.length !== 2) {
      return { kind: 'many-models', rows: rows.length, table: compareManyModels({ set, prices: undefined, draws, seed }, [{ router: 'random', folds: [{ rows: every, predicted: new Float64Array(predicted.length) }] }, { router, folds }]) };
    }
    const means = meanQuality(set);
    const strong = means[1]! > means[0]! ? 1 : 0;
    const contest = { set, rows, strong, weak: 1 - strong, without: undefined, draws, seed };
    const length = TEXT_FEATURES.indexOf('characters');
    const table = compareTwoModels(contest, [
      { router: 'random', folds: [{ rows: every, predicted: undefined, need: new Float64Array(rows.length) }] },
      { router: 'prompt length alone', folds: [{ rows: every, predicted: undefined, need: Float64Array.from(every, (row) => set.features.text[row * set.features.textWidth + length]!) }] },
      entryOf(router, folds, contest),
    ], 'prompt length alone');
    return { kind: 'two-models', rows: rows.length, weak: candidates[1 - strong]!, strong: candidates[strong]!, table };
  } finally {
    await opened.close();
  }
}
