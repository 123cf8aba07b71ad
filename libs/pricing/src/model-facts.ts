import { numberField, type ModelPrice } from './model-price.ts';

/** What routing asks about a model besides its price. */
export interface ModelFacts {
  /** Tokens that a prompt may have; undefined when not known. */
  readonly maxInputTokens: number | undefined;
  /** Tokens that a reply may have; undefined when not known. */
  readonly maxOutputTokens: number | undefined;
  /** `chat`, `embedding`, … */
  readonly mode: string | undefined;
  /** USD per token, for small prompts; undefined when not known. */
  readonly inputCostPerToken: number | undefined;
  readonly outputCostPerToken: number | undefined;
  /** The features that the entry says the model has, without `supports_`: `vision`, `function_calling`, `response_schema`, `reasoning`, `prompt_caching`, `audio_input`, … */
  readonly supports: ReadonlySet<string>;
  /** The features that the entry says the model lacks. In neither set: not known. */
  readonly lacks: ReadonlySet<string>;
}

function firstTierRate(price: ModelPrice, name: string): number | undefined {
  const tiers = price.fields.get('tiered_pricing');
  const first: unknown = Array.isArray(tiers) ? tiers[0] : undefined;
  const rate: unknown = typeof first === 'object' && first !== null ? new Map<string, unknown>(Object.entries(first)).get(name) : undefined;
  return typeof rate === 'number' ? rate : undefined;
}

/** The facts of an entry; all unknown for an unknown model. */
export function modelFacts(price: ModelPrice | undefined): ModelFacts {
  const supports = new Set<string>();
  const lacks = new Set<string>();
  if (price === undefined) return { maxInputTokens: undefined, maxOutputTokens: undefined, mode: undefined, inputCostPerToken: undefined, outputCostPerToken: undefined, supports, lacks };
  for (const [name, value] of price.fields) {
    if (name.startsWith('supports_')) (value === true ? supports : lacks).add(name.slice('supports_'.length));
  }
  const isEmbedding = price.mode === 'embedding';
  return {
    // `max_tokens` is LiteLLM's older field: the reply's bound of a chat model, the prompt's of an embedding model.
    maxInputTokens: numberField(price, 'max_input_tokens') ?? (isEmbedding ? numberField(price, 'max_tokens') : undefined),
    maxOutputTokens: numberField(price, 'max_output_tokens') ?? (isEmbedding ? undefined : numberField(price, 'max_tokens')),
    mode: price.mode,
    inputCostPerToken: numberField(price, 'input_cost_per_token') ?? firstTierRate(price, 'input_cost_per_token'),
    outputCostPerToken: numberField(price, 'output_cost_per_token') ?? firstTierRate(price, 'output_cost_per_token'),
    supports,
    lacks,
  };
}
