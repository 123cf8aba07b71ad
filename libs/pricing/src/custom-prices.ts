import { asAmount, type ModelPrice } from './model-price.ts';

/** Fields of `litellm_params` and `model_info` that say something about price or limits. */
const AMOUNT = /cost|^max_(?:input_|output_)?tokens$/;
const INPUT_TOKENS = /^(?:input_cost_per_(?:token|audio_token|image_token)|cache_(?:read|creation)_input_|tiered_pricing$)/;
const OUTPUT_TOKENS = /^(?:output_cost_per_(?:token|audio_token|image_token|reasoning_token)|tiered_pricing$)/;

/**
 * The entry with what the configuration says on top: `litellm_params` (prices), then `model_info` (prices, limits, `supports_*`, `mode`).
 * A custom `input_cost_per_token` (or `output_cost_per_token`) replaces that whole side, cached, long-context and service-tier prices included,
 * unless they are custom as well: half a list price on top of one's own would be nobody's price.
 * Returns undefined when neither the map nor the configuration knows anything.
 */
export function withCustomPrices(
  price: ModelPrice | undefined,
  litellmParams: Readonly<Record<string, unknown>> = {},
  modelInfo: Readonly<Record<string, unknown>> = {},
): ModelPrice | undefined {
  const custom = new Map<string, unknown>();
  for (const source of [modelInfo, litellmParams]) {
    for (const [name, value] of Object.entries(source)) {
      if (name === 'tiered_pricing' && Array.isArray(value)) custom.set(name, value);
      else if (name === 'search_context_cost_per_query' && typeof value === 'object' && value !== null) custom.set(name, value);
      else if (AMOUNT.test(name) && asAmount(value) !== undefined) custom.set(name, asAmount(value));
      else if (source === modelInfo && name.startsWith('supports_') && typeof value === 'boolean') custom.set(name, value);
      else if (source === modelInfo && name === 'mode' && typeof value === 'string') custom.set(name, value);
    }
  }
  if (custom.size === 0) return price;
  const fields = new Map(price?.fields);
  for (const name of fields.keys()) {
    if ((custom.has('input_cost_per_token') && INPUT_TOKENS.test(name)) || (custom.has('output_cost_per_token') && OUTPUT_TOKENS.test(name))) fields.delete(name);
  }
  for (const [name, value] of custom) fields.set(name, value);
  const mode = fields.get('mode');
  return { key: price?.key ?? 'custom', provider: price?.provider, mode: typeof mode === 'string' ? mode : undefined, fields };
}
