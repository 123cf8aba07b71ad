import { AppError } from '@pointsman/errors';
import type { FeatureExtractor, PromptFeatures } from '@pointsman/routing';
import type { OutcomeRow } from '../dataset/outcome-row.ts';
import type { FeatureMatrix } from './feature-matrix.ts';

/** Features of every row: made from its prompt with the gateway's own extractor, else as they were stored. Throws an AppError for a row whose stored features do not fit the extractor. */
export async function extractFeatures(rows: readonly OutcomeRow[], extractor: FeatureExtractor, progress?: (share: number) => void): Promise<FeatureMatrix> {
  const all: Pick<PromptFeatures, 'text' | 'embedding' | 'ngramIndex' | 'ngramValue'>[] = [];
  const none = { index: new Int32Array(0), value: new Float32Array(0) };
  for (const [index, row] of rows.entries()) {
    if (row.prompt !== undefined) all.push(await extractor.extract(barePrompt(row.prompt)));
    else if (row.features !== undefined) all.push({ ...row.features, ngramIndex: row.features.ngramIndex ?? none.index, ngramValue: row.features.ngramValue ?? none.value });
    if (index % 100 === 0) progress?.(index / rows.length);
  }
  return stackFeatures(all, extractor.embedder.dimensions);
}

/** A prompt as the gateway sees one that comes alone: one user message, no system prompt, no tools. */
export function barePrompt(text: string): { readonly text: string; readonly system: string; readonly turns: number; readonly images: number; readonly tools: number; readonly wantsJson: boolean } {
  return { text, system: '', turns: 1, images: 0, tools: 0, wantsJson: false };
}

/** One matrix of the features of many prompts. Throws an AppError `invalid_dataset` when they are not all of one width. */
export function stackFeatures(all: readonly PromptFeatures[], embeddingWidth: number): FeatureMatrix {
  const textWidth = all[0]?.text.length ?? 0;
  const ngramStart = new Int32Array(all.length + 1);
  all.forEach((features, row) => {
    if (features.text.length !== textWidth || features.embedding.length !== embeddingWidth) {
      throw new AppError('invalid_request', 'invalid_dataset', `Row ${row + 1} has ${features.text.length} text features and an embedding of ${features.embedding.length}; expected ${textWidth} and ${embeddingWidth}. Was it stored by another version or embedder?`);
    }
    ngramStart[row + 1] = ngramStart[row]! + features.ngramIndex.length;
  });
  const matrix: FeatureMatrix = {
    rows: all.length, textWidth, text: new Float32Array(all.length * textWidth), embeddingWidth, embedding: new Float32Array(all.length * embeddingWidth),
    ngramStart, ngramIndex: new Int32Array(ngramStart[all.length]!), ngramValue: new Float32Array(ngramStart[all.length]!),
  };
  all.forEach((features, row) => {
    matrix.text.set(features.text, row * textWidth);
    matrix.embedding.set(features.embedding, row * embeddingWidth);
    matrix.ngramIndex.set(features.ngramIndex, ngramStart[row]);
    matrix.ngramValue.set(features.ngramValue, ngramStart[row]);
  });
  return matrix;
}
