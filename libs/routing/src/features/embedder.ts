import type { EmbedderIdentity } from './prompt-features.ts';

/** Makes the dense vector of a prompt from the parts that `sampleText` took of it. */
export interface Embedder {
  readonly identity: EmbedderIdentity;
  /** L2-normalised, or all zeros for a text without a known token. The array belongs to the caller. */
  embed(parts: readonly string[]): Float32Array | Promise<Float32Array>;
  close(): void | Promise<void>;
}

/** Scales `vector` to length 1 in place; a vector of zeros stays one. */
export function normalise(vector: Float32Array): Float32Array {
  let sum = 0;
  for (const value of vector) sum += value * value;
  if (sum > 0 && Number.isFinite(sum)) {
    const scale = 1 / Math.sqrt(sum);
    for (let at = 0; at < vector.length; at += 1) vector[at]! *= scale;
  }
  return vector;
}
