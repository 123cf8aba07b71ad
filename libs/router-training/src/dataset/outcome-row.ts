/** Features stored with a training row, for when the prompt itself was not kept. */
export interface StoredFeatures {
  /** Text features in the order of the extractor. */
  readonly text: Float32Array;
  /** Empty where the row was written with the embedder `none`. */
  readonly embedding: Float32Array;
  readonly ngramIndex: Int32Array | undefined;
  readonly ngramValue: Float32Array | undefined;
}

/** One question with what is known of how well models answered it. Whatever file format it came from. */
export interface OutcomeRow {
  readonly id: string;
  /** A label for stratifying and for reports; never a feature. '' where the file has none. */
  readonly subject: string;
  /** Undefined where only features were stored. */
  readonly prompt: string | undefined;
  readonly features: StoredFeatures | undefined;
  /** Observed quality per model, 0 to 1. May hold one model only: what traffic observes. */
  readonly quality: ReadonlyMap<string, number>;
  /** What models answered, where the file tells: for verifiers that look at an answer. */
  readonly answers: ReadonlyMap<string, string>;
  /** How much the row counts in training: 1, or the clipped inverse of the propensity with which traffic chose the model. */
  readonly weight: number;
  /** When it was observed; undefined for benchmark outcomes. */
  readonly at: string | undefined;
}
