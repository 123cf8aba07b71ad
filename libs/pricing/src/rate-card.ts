import { asAmount, numberField, type ModelPrice } from './model-price.ts';
import type { ServiceTier } from './usage.ts';

/** USD per token of each kind. Undefined only where nothing prices that side at all. */
export interface RateCard {
  readonly input: number | undefined;
  readonly cacheRead: number | undefined;
  readonly cacheCreation: number | undefined;
  readonly cacheCreation1h: number | undefined;
  readonly audioInput: number | undefined;
  readonly imageInput: number | undefined;
  readonly output: number | undefined;
  readonly reasoning: number | undefined;
  readonly audioOutput: number | undefined;
  readonly imageOutput: number | undefined;
}

/** The rates of a request by the size of its prompt: the last card whose `above` is less than the prompt tokens counts, for every token of the request. */
export type RateCards = readonly { readonly above: number; readonly rates: RateCard }[];

const SUFFIX: Readonly<Record<ServiceTier, string>> = { default: '', batch: '_batches', flex: '_flex', priority: '_priority' };
/** What a batch costs where the map names no batch price: half, as with OpenAI, Anthropic and Google. */
const BATCH_SHARE = 0.5;
const THRESHOLD = /^(?:input|output)_cost_per_token_above_(\d+)k_tokens$/;

type Read = (name: string) => number | undefined;

/** `read` looks a rate up; what it does not know falls back to the nearest kind of token: never to free of charge. */
function cardFrom(read: Read): RateCard {
  const input = read('input_cost_per_token');
  const output = read('output_cost_per_token');
  const cacheCreation = read('cache_creation_input_token_cost') ?? input;
  return {
    input,
    cacheRead: read('cache_read_input_token_cost') ?? read('input_cost_per_token_cache_hit') ?? input,
    cacheCreation,
    cacheCreation1h: read('cache_creation_input_token_cost_above_1hr') ?? cacheCreation,
    audioInput: read('input_cost_per_audio_token') ?? input,
    imageInput: read('input_cost_per_image_token') ?? input,
    output,
    reasoning: read('output_cost_per_reasoning_token') ?? output,
    audioOutput: read('output_cost_per_audio_token') ?? output,
    imageOutput: read('output_cost_per_image_token') ?? output,
  };
}

function thresholds(price: ModelPrice): number[] {
  const found = new Set<number>();
  for (const name of price.fields.keys()) {
    const match = THRESHOLD.exec(name);
    if (match !== null) found.add(Number(match[1]) * 1000);
  }
  return [...found].sort((left, right) => left - right);
}

/** One rate: for this size of prompt and this service tier, else for this size, else for this tier, else the plain one. */
function rateReader(price: ModelPrice, serviceTier: ServiceTier, above: number): Read {
  const suffix = SUFFIX[serviceTier];
  const plainInput = numberField(price, 'input_cost_per_token');
  const batchInput = numberField(price, 'input_cost_per_token_batches');
  // Where a batch price is named for the prompt only, the same discount is taken for the kinds of token that have none of their own.
  const batchShare = batchInput !== undefined && plainInput !== undefined && plainInput > 0 ? batchInput / plainInput : BATCH_SHARE;
  return (name) => {
    const sized = above === 0 ? undefined : `${name}_above_${above / 1000}k_tokens`;
    const exact = sized === undefined ? undefined : numberField(price, `${sized}${suffix}`);
    if (exact !== undefined) return exact;
    const share = serviceTier === 'batch' ? batchShare : 1;
    const plain = numberField(price, name);
    const bySize = sized === undefined ? undefined : numberField(price, sized);
    if (bySize !== undefined) return bySize * share;
    // A reasoning price that merely repeats the output price follows it into the long-context price.
    if (sized !== undefined && name === 'output_cost_per_reasoning_token' && plain === numberField(price, 'output_cost_per_token')) return undefined;
    const byTier = suffix === '' ? undefined : numberField(price, `${name}${suffix}`);
    return byTier ?? (plain === undefined ? undefined : plain * share);
  };
}

/** `tiered_pricing` (Alibaba Model Studio): `{range: [from, to], input_cost_per_token, …}`, the tier is chosen by the whole prompt, `from < tokens <= to`. */
function tieredCards(price: ModelPrice, serviceTier: ServiceTier): RateCards | undefined {
  const tiers = price.fields.get('tiered_pricing');
  if (!Array.isArray(tiers)) return undefined;
  const share = serviceTier === 'batch' ? BATCH_SHARE : 1;
  const cards: { above: number; rates: RateCard }[] = [];
  for (const tier of tiers as unknown[]) {
    if (typeof tier !== 'object' || tier === null) continue;
    const fields = new Map<string, unknown>(Object.entries(tier));
    const range = fields.get('range');
    const above = Array.isArray(range) ? asAmount(range[0]) : undefined;
    if (above === undefined) continue;
    const rates = cardFrom((name) => {
      const rate = asAmount(fields.get(name));
      return rate === undefined ? undefined : rate * share;
    });
    cards.push({ above, rates });
  }
  if (cards.every(({ rates }) => rates.input === undefined && rates.output === undefined)) return undefined;
  return cards.sort((left, right) => left.above - right.above);
}

/** The token rates of a model for one service tier, smallest prompts first. */
export function rateCards(price: ModelPrice, serviceTier: ServiceTier): RateCards {
  const tiered = tieredCards(price, serviceTier);
  if (tiered !== undefined) return tiered;
  return [0, ...thresholds(price)].map((above) => ({ above, rates: cardFrom(rateReader(price, serviceTier, above)) }));
}
