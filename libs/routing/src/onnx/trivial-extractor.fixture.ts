import type { FeatureExtractor, PromptFeatures, PromptInput } from '../features/prompt-features.ts';

/** An extractor whose features can be worked out by hand: text = [length, 1], one n-gram. */
export function createFeatureExtractor(): FeatureExtractor {
  return {
    version: 1,
    embedder: { name: 'none', sha256: '', dimensions: 0 },
    extract: ({ text }: PromptInput): PromptFeatures => ({ text: Float32Array.of(text.length, 1), ngramIndex: Int32Array.of(0), ngramValue: Float32Array.of(0), embedding: new Float32Array(0) }),
    close() {},
  };
}
