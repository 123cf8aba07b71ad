/** What features are made of: text and counts, whatever wire format a request came in. */
export interface PromptInput {
  /** The user's side of the conversation that counts for routing (see docs/routing-features.md for which messages that is). */
  readonly text: string;
  /** System prompt; '' where there is none. */
  readonly system: string;
  /** Messages of the conversation, the system prompt left out; 1 for a bare prompt. */
  readonly turns: number;
  readonly images: number;
  readonly tools: number;
  /** Whether JSON (an object or a schema) is asked for. */
  readonly wantsJson: boolean;
}

/** Everything a router model may look at, made once per request. Arrays belong to their reader: extractors never use them again. */
export interface PromptFeatures {
  /** Text features in the order of `TEXT_FEATURES`, finite. Float32, one per name. */
  readonly text: Float32Array;
  /** Buckets of hashed word 1- and 2-grams, ascending, each once; at least one entry (bucket 0 with value 0 for a prompt without words). */
  readonly ngramIndex: Int32Array;
  /** Sublinear term frequency of each bucket, 1 + ln(count). Not weighted, not normalised: idf belongs to the model. */
  readonly ngramValue: Float32Array;
  /** L2-normalised; length 0 with the embedder `none`. */
  readonly embedding: Float32Array;
}

/** Which embedding a feature extractor makes. As the manifest of a model names it. */
export interface EmbedderIdentity {
  readonly name: 'none' | 'static' | 'minilm';
  /** Of the embedder's weights, hex; '' for `none`. */
  readonly sha256: string;
  readonly dimensions: number;
}

export interface FeatureExtractor {
  /** `FEATURE_VERSION`: changes with anything that changes a number. */
  readonly version: number;
  readonly embedder: EmbedderIdentity;
  /** Deterministic. A promise only where the embedder runs in ONNX. Bounded time for any input: long texts are sampled as documented. */
  extract(input: PromptInput): PromptFeatures | Promise<PromptFeatures>;
  close(): void | Promise<void>;
}
