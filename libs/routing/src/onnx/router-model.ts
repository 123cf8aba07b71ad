import type { ModelManifest } from '@pointsman/schemas';
import type { PromptFeatures } from '../features/prompt-features.ts';

/**
 * The head of a router model: `model.onnx` of an artifact. It declares any of these inputs by name and is fed exactly those:
 *
 * | input         | type, shape    | holds |
 * | ------------- | -------------- | ----- |
 * | `text`        | float32 [1, F] | text features of `features.version` |
 * | `embedding`   | float32 [1, D] | the prompt's embedding |
 * | `ngram_index` | int32 [N]      | hashed n-grams, N ≥ 1 |
 * | `ngram_value` | float32 [N]    | their term frequencies |
 *
 * Output `scores`, float32 [1, C]: predicted quality (0 to 1, not clipped) of each of the manifest's candidates, in its order.
 */
export const HEAD_FILE = 'model.onnx';
export const HEAD_INPUTS = ['text', 'embedding', 'ngram_index', 'ngram_value'] as const;
export type HeadInput = (typeof HEAD_INPUTS)[number];
export const HEAD_OUTPUT = 'scores';

/** A loaded head. */
export interface RouterModel {
  readonly manifest: ModelManifest;
  /** The generation it came from: `{version}-{digest}`. */
  readonly revision: string;
  /** Weights in memory, bytes; an estimate. */
  readonly bytes: number;
  /** Predicted quality per candidate of the manifest. Never blocks the event loop. Rejects for NaN, infinity or a wrong shape. */
  predict(features: PromptFeatures): Promise<Float32Array>;
  /** Likewise, of a model that reads the prompt itself (a causal language model): then this is asked, not `predict`. Undefined for heads. */
  readonly predictText?: ((prompt: string) => Promise<Float32Array>) | undefined;
  /** Gives back the session once nobody uses it any more. */
  close(): Promise<void>;
}
