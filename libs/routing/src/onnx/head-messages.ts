import type { EmbedderIdentity } from '../features/prompt-features.ts';
import type { CausalLmParts } from './causal-lm-session.ts';
import type { HeadFeatures } from './head-session.ts';
import type { ModelRefusal } from './model-refused-error.ts';
import type { HeadInput } from './router-model.ts';

/** What a head's worker is started with. */
export interface HeadWorkerData {
  readonly path: string;
  readonly maxBytes: number;
  readonly candidates: readonly string[];
  readonly embedder: EmbedderIdentity;
  /** Set for a causal language model, which reads the prompt itself. */
  readonly causal?: CausalLmParts | undefined;
}

export type HeadRequest = { readonly id: number; readonly features: HeadFeatures } | { readonly close: true };

export interface ToldRefusal {
  readonly refusal: ModelRefusal;
  readonly message: string;
}

export type HeadReply =
  | { readonly kind: 'ready'; readonly inputs: readonly HeadInput[]; readonly fileBytes: number; readonly weightBytes: number; readonly runMs: number; readonly blank: HeadFeatures }
  | { readonly kind: 'refused'; readonly problem: ToldRefusal }
  | { readonly kind: 'scores'; readonly id: number; readonly scores: Float32Array }
  | { readonly kind: 'failed'; readonly id: number; readonly problem: ToldRefusal };
