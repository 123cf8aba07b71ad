/** OpenAI's `service_tier`, and `batch` for the batch API. */
export type ServiceTier = 'default' | 'batch' | 'flex' | 'priority';

/**
 * What a call used. Token counts are OpenAI's way: cached, cache-creation, audio and image tokens are part of `promptTokens`; reasoning, audio
 * and image tokens are part of `completionTokens`. Anthropic's usage, where cached tokens come on top, is added up before it gets here.
 */
export interface PricedUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly totalTokens?: number | undefined;
  /** Read from the prompt cache. */
  readonly cachedTokens?: number | undefined;
  /** Written to the prompt cache, for any lifetime. */
  readonly cacheCreationTokens?: number | undefined;
  /** The part of `cacheCreationTokens` that is kept for an hour. */
  readonly cacheCreation1hTokens?: number | undefined;
  readonly reasoningTokens?: number | undefined;
  readonly audioInputTokens?: number | undefined;
  readonly audioOutputTokens?: number | undefined;
  readonly imageInputTokens?: number | undefined;
  readonly imageOutputTokens?: number | undefined;
  readonly serviceTier?: ServiceTier | undefined;

  /** Calls that are priced each: 1 for a rerank or search call of a model with `input_cost_per_query`. */
  readonly queries?: number | undefined;
  /** Web searches that the model did, and how much context it took; `medium` when absent. */
  readonly webSearches?: number | undefined;
  readonly webSearchContext?: 'low' | 'medium' | 'high' | undefined;
  readonly inputCharacters?: number | undefined;
  readonly outputCharacters?: number | undefined;
  /** Seconds of audio or video sent, or of a machine's time where that is the price. */
  readonly inputSeconds?: number | undefined;
  readonly outputSeconds?: number | undefined;
  /** Of a produced video: `720p`, `1080p`, …: picks `output_cost_per_second_720p` where there is one. */
  readonly videoResolution?: string | undefined;
  readonly inputImages?: number | undefined;
  readonly outputImages?: number | undefined;
  readonly inputPixels?: number | undefined;
  readonly outputPixels?: number | undefined;
  /** Pages read by OCR. */
  readonly pages?: number | undefined;
}

/** USD, by what it was spent on. `inputUsd` and `outputUsd` add up to `totalUsd`; the others are parts of them. */
export interface CostBreakdown {
  readonly totalUsd: number;
  /** Prompt tokens, cache writes and reads included, and everything else that was sent. */
  readonly inputUsd: number;
  /** Completion tokens, reasoning included, and everything else that was produced. */
  readonly outputUsd: number;
  readonly cacheReadUsd: number;
  readonly cacheCreationUsd: number;
  readonly reasoningUsd: number;
  /** Queries, searches, characters, seconds, images, pixels, pages. */
  readonly unitsUsd: number;
}
