import type { Embedder } from './embedder.ts';
import { NgramHasher } from './hash-ngrams.ts';
import type { EmbedderIdentity, FeatureExtractor, PromptFeatures } from './prompt-features.ts';
import { sampleText } from './sample-text.ts';
import { TextFeatureMaker } from './text-features.ts';
import { WordScan } from './word-scan.ts';

/** Changes with anything that changes a number: a model trained with another version is refused. */
export const FEATURE_VERSION = 1;

export interface FeatureExtractorOptions {
  readonly embedder: EmbedderIdentity['name'];
  /** Directory of `model.onnx` and `vocab.txt`; needed for `minilm` only. */
  readonly minilmDirectory?: string;
  /** Directory of `static-embedder.bin`; by default the one that ships with this package. */
  readonly assetsDirectory?: string;
}

/**
 * Makes the extractor of one embedder. Tables and ONNX Runtime are loaded here, not by importing: `none` loads nothing.
 * Rejects when the embedder's files are missing or broken. `extract` answers at once with `none` and `static`, with a promise for `minilm`.
 */
export async function createFeatureExtractor(options: FeatureExtractorOptions): Promise<FeatureExtractor> {
  const embedder = await loadEmbedder(options);
  const words = new WordScan();
  const textFeatures = new TextFeatureMaker();
  const ngrams = new NgramHasher();
  return {
    version: FEATURE_VERSION,
    embedder: embedder.identity,
    extract(input) {
      const parts = sampleText(input.text);
      words.scan(parts);
      const text = textFeatures.make(input, parts, words);
      const { index, value } = ngrams.hash(words);
      const withEmbedding = (embedding: Float32Array): PromptFeatures => ({ text, ngramIndex: index, ngramValue: value, embedding });
      const embedding = embedder.embed(parts);
      return embedding instanceof Float32Array ? withEmbedding(embedding) : embedding.then(withEmbedding);
    },
    close: () => embedder.close(),
  };
}

async function loadEmbedder({ embedder, minilmDirectory, assetsDirectory }: FeatureExtractorOptions): Promise<Embedder> {
  switch (embedder) {
    case 'none':
      return { identity: { name: 'none', sha256: '', dimensions: 0 }, embed: () => new Float32Array(0), close() {} };
    case 'static':
      return (await import('./static-embedder.ts')).loadStaticEmbedder(assetsDirectory);
    case 'minilm':
      if (minilmDirectory === undefined) throw new RangeError('The embedder "minilm" needs a directory with model.onnx and vocab.txt.');
      return (await import('./minilm-embedder.ts')).loadMinilmEmbedder(minilmDirectory);
  }
}
