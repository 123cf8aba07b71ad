import { describe, expect, test } from 'vitest';
import { compileCost, costUsd } from './cost.ts';
import { toModelPrice, type ModelPrice } from './model-price.ts';
import { loadPriceMap } from './price-map.ts';
import type { PricedUsage } from './usage.ts';

const M = 1e-6;
/** Prices in USD per million tokens, as price lists print them. */
function perMillion(fields: Record<string, number>, rest: Record<string, unknown> = {}): ModelPrice {
  return toModelPrice('test', { ...Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, value * M])), ...rest });
}
const usage = (promptTokens: number, completionTokens: number, more: Partial<PricedUsage> = {}): PricedUsage => ({ promptTokens, completionTokens, ...more });

const gpt4o = perMillion({
  input_cost_per_token: 2.5, output_cost_per_token: 10, cache_read_input_token_cost: 1.25,
  input_cost_per_token_batches: 1.25, output_cost_per_token_batches: 5,
  input_cost_per_token_priority: 4.25, output_cost_per_token_priority: 17, cache_read_input_token_cost_priority: 2.125,
});
const sonnet = perMillion({
  input_cost_per_token: 3, output_cost_per_token: 15, cache_read_input_token_cost: 0.3, cache_creation_input_token_cost: 3.75, cache_creation_input_token_cost_above_1hr: 6,
  input_cost_per_token_above_200k_tokens: 6, output_cost_per_token_above_200k_tokens: 22.5, cache_read_input_token_cost_above_200k_tokens: 0.6,
  cache_creation_input_token_cost_above_200k_tokens: 7.5, cache_creation_input_token_cost_above_1hr_above_200k_tokens: 12,
  input_cost_per_token_batches: 1.5, output_cost_per_token_batches: 7.5,
});
const bare = perMillion({ input_cost_per_token: 1, output_cost_per_token: 4 });
const audio = perMillion({ input_cost_per_token: 2.5, output_cost_per_token: 10, input_cost_per_audio_token: 40, output_cost_per_audio_token: 80 });
const thinker = perMillion({ input_cost_per_token: 1, output_cost_per_token: 2, output_cost_per_reasoning_token: 8 });
const longThinker = perMillion({
  input_cost_per_token: 1, output_cost_per_token: 4, output_cost_per_reasoning_token: 4, input_cost_per_token_above_128k_tokens: 2, output_cost_per_token_above_128k_tokens: 8,
  input_cost_per_token_above_272k_tokens: 3, output_cost_per_token_above_272k_tokens: 12, input_cost_per_token_above_272k_tokens_priority: 30,
  input_cost_per_token_priority: 10, output_cost_per_token_priority: 40,
});
const tiered = toModelPrice('dashscope/qwen-flash', {
  tiered_pricing: [
    { range: [256_000, 1_000_000], input_cost_per_token: 0.25 * M, output_cost_per_token: 2 * M },
    { range: [0, 256_000], input_cost_per_token: 0.05 * M, output_cost_per_token: 0.4 * M, output_cost_per_reasoning_token: 1 * M, cache_read_input_token_cost: 0.01 * M },
  ],
});

// [what is promised, price, usage, USD worked out by hand]
const examples: [string, ModelPrice, PricedUsage, number][] = [
  ['plain tokens: 1000 × 2.5 + 200 × 10', gpt4o, usage(1000, 200), (2500 + 2000) * M],
  ['nothing used costs nothing', gpt4o, usage(0, 0), 0],
  ['cached tokens are part of the prompt: 600 × 2.5 + 400 × 1.25', gpt4o, usage(1000, 0, { cachedTokens: 400 }), (1500 + 500) * M],
  ['a prompt that was cached whole: 1000 × 1.25', gpt4o, usage(1000, 0, { cachedTokens: 1000 }), 1250 * M],
  ['a cache price that is not named is the input price: 1000 × 1', bare, usage(1000, 0, { cachedTokens: 400 }), 1000 * M],
  ['a cache write that has no price is the input price', bare, usage(1000, 0, { cacheCreationTokens: 400 }), 1000 * M],
  ['more cached than prompt never makes the rest negative: 500 × 1.25', gpt4o, usage(100, 0, { cachedTokens: 500 }), 625 * M],
  ['Anthropic, already added up (100 fresh + 2000 read + 500 written): 100 × 3 + 2000 × 0.3 + 500 × 3.75 + 50 × 15', sonnet, usage(2600, 50, { cachedTokens: 2000, cacheCreationTokens: 500 }), (300 + 600 + 1875 + 750) * M],
  ['an hour of cache costs more: 300 × 3.75 + 200 × 6', sonnet, usage(500, 0, { cacheCreationTokens: 500, cacheCreation1hTokens: 200 }), (1125 + 1200) * M],
  ['exactly 200k tokens are still the small price', sonnet, usage(200_000, 1000), (600_000 + 15_000) * M],
  ['one token more changes the price of every token, output included', sonnet, usage(200_001, 1000), (200_001 * 6 + 22_500) * M],
  ['above 200k, cache prices change too: 100k × 6 + 100k × 0.6 + 60k × 7.5 + 40k × 12', sonnet, usage(300_000, 0, { cachedTokens: 100_000, cacheCreationTokens: 100_000, cacheCreation1hTokens: 40_000 }), (600_000 + 60_000 + 450_000 + 480_000) * M],
  ['a batch has its own prices: 1000 × 1.25 + 200 × 5', gpt4o, usage(1000, 200, { serviceTier: 'batch' }), (1250 + 1000) * M],
  ['a batch without prices costs half', bare, usage(1000, 200, { serviceTier: 'batch' }), (500 + 400) * M],
  ['in a batch, cached tokens get the same discount: 1000 × 0.3 / 2', sonnet, usage(1000, 0, { cachedTokens: 1000, serviceTier: 'batch' }), 150 * M],
  ['priority: 600 × 4.25 + 400 × 2.125 + 100 × 17', gpt4o, usage(1000, 100, { cachedTokens: 400, serviceTier: 'priority' }), (2550 + 850 + 1700) * M],
  ['a tier without a price of its own is the plain price', gpt4o, usage(1000, 100, { serviceTier: 'flex' }), (2500 + 1000) * M],
  ['reasoning is part of the completion: 100 × 2 + 300 × 8', thinker, usage(0, 400, { reasoningTokens: 300 }), (200 + 2400) * M],
  ['reasoning without a price of its own is billed once, as output', bare, usage(0, 400, { reasoningTokens: 300 }), 1600 * M],
  ['a reasoning price that repeats the output price follows it into the long-context price', longThinker, usage(200_000, 100, { reasoningTokens: 50 }), (400_000 + 800) * M],
  ['the highest threshold that was passed counts', longThinker, usage(300_000, 100), (900_000 + 1200) * M],
  ['threshold and tier together, where the map names it: 300k × 30; else the threshold: 100 × 12', longThinker, usage(300_000, 100, { serviceTier: 'priority' }), (9_000_000 + 1200) * M],
  ['audio tokens are part of prompt and completion: 800 × 2.5 + 200 × 40 + 50 × 10 + 50 × 80', audio, usage(1000, 100, { audioInputTokens: 200, audioOutputTokens: 50 }), (2000 + 8000 + 500 + 4000) * M],
  ['audio without a price of its own is billed as text', bare, usage(1000, 100, { audioInputTokens: 200, audioOutputTokens: 50 }), (1000 + 400) * M],
  ['tiered: up to and with the end of the range', tiered, usage(256_000, 1000), (256_000 * 0.05 + 400) * M],
  ['tiered: beyond it every token has the next price', tiered, usage(256_001, 1000), (256_001 * 0.25 + 2000) * M],
  ['tiered: beyond the last range the last price', tiered, usage(2_000_000, 0), 500_000 * M],
  ['tiered: reasoning and cache prices of the tier', tiered, usage(1000, 100, { cachedTokens: 500, reasoningTokens: 40 }), (25 + 5 + 24 + 40) * M],
  ['per query', toModelPrice('rerank', { input_cost_per_query: 0.002, input_cost_per_token: 0, output_cost_per_token: 0 }), usage(0, 0, { queries: 3 }), 0.006],
  ['per request on top of tokens', toModelPrice('online', { input_cost_per_request: 0.005, output_cost_per_token: 2 * M }), usage(100, 1000), 0.005 + 0.002],
  ['characters of speech', toModelPrice('tts', { input_cost_per_character: 15 * M }), usage(0, 0, { inputCharacters: 2000 }), 0.03],
  ['seconds of audio', toModelPrice('whisper', { input_cost_per_second: 0.0001 }), usage(0, 0, { inputSeconds: 90 }), 0.009],
  ['images', toModelPrice('image', { output_cost_per_image: 0.04 }), usage(0, 0, { outputImages: 2 }), 0.08],
  ['pixels', toModelPrice('image', { input_cost_per_pixel: 1e-8 }), usage(0, 0, { inputPixels: 1024 * 1024 }), 0.01048576],
  ['pages', toModelPrice('ocr', { ocr_cost_per_page: 0.0015 }), usage(0, 0, { pages: 10 }), 0.015],
  ['seconds of video by resolution, else plain', toModelPrice('video', { output_cost_per_second: 0.1, output_cost_per_second_1080p: 0.3 }), usage(0, 0, { outputSeconds: 8, videoResolution: '1080p' }), 2.4],
  ['seconds of video of a resolution without a price', toModelPrice('video', { output_cost_per_second: 0.1 }), usage(0, 0, { outputSeconds: 8, videoResolution: '720p' }), 0.8],
  ['web searches by context size', toModelPrice('search', { input_cost_per_token: 0, output_cost_per_token: 0, search_context_cost_per_query: { search_context_size_low: 0.03, search_context_size_medium: 0.035, search_context_size_high: 0.05 } }), usage(0, 0, { webSearches: 2 }), 0.07],
  ['prices written as text', toModelPrice('yaml', { input_cost_per_token: '4e-07', output_cost_per_token: '1e-06' }), usage(1000, 1000), 0.0014],
];

test.each(examples)('%s', (_name, price, used, expected) => {
  const breakdown = costUsd(price, used);
  expect(breakdown?.totalUsd).toBeCloseTo(expected, 12);
  expect((breakdown?.inputUsd ?? 0) + (breakdown?.outputUsd ?? 0)).toBeCloseTo(expected, 12);
  expect(compileCost(price)(used)).toBeCloseTo(expected, 12);
});

describe('what is not known', () => {
  test('an unknown model has no cost, which is not a cost of nothing', () => {
    expect(costUsd(undefined, usage(10, 10))).toBeUndefined();
  });
  test('a model priced by the second has no cost for tokens; compiled it counts as 0', () => {
    const price = toModelPrice('whisper', { input_cost_per_second: 0.0001 });
    expect(costUsd(price, usage(10, 10))).toBeUndefined();
    expect(compileCost(price)(usage(10, 10))).toBe(0);
  });
  test('a model that is free of charge costs 0, and that is known', () => {
    expect(costUsd(toModelPrice('free', { input_cost_per_token: 0, output_cost_per_token: 0 }), usage(10, 10))?.totalUsd).toBe(0);
  });
  test('a price that is no number, or negative, is no price', () => {
    expect(costUsd(toModelPrice('odd', { input_cost_per_token: 'much', output_cost_per_token: -1 }), usage(10, 10))).toBeUndefined();
  });
});

test('the parts of a cost are named', () => {
  const breakdown = costUsd(perMillion({ input_cost_per_token: 3, output_cost_per_token: 15, cache_read_input_token_cost: 0.3, cache_creation_input_token_cost: 3.75 }, { input_cost_per_query: 0.001 }), usage(1000, 100, { cachedTokens: 500, cacheCreationTokens: 100, reasoningTokens: 40, queries: 1 }));
  expect(breakdown?.cacheReadUsd).toBeCloseTo(150 * M, 12);
  expect(breakdown?.cacheCreationUsd).toBeCloseTo(375 * M, 12);
  expect(breakdown?.reasoningUsd).toBeCloseTo(600 * M, 12);
  expect(breakdown?.unitsUsd).toBeCloseTo(0.001, 12);
});

test('every entry of the built-in map compiles, and no usage makes a cost that is negative or not a number', () => {
  const map = loadPriceMap();
  for (const key of map.keys()) {
    const price = map.get(key);
    if (price === undefined) throw new Error(key);
    const cost = compileCost(price);
    for (const serviceTier of ['default', 'batch', 'flex', 'priority'] as const) {
      const total = cost(usage(300_000, 5000, { cachedTokens: 1000, cacheCreationTokens: 50, reasoningTokens: 100, serviceTier }));
      expect(total >= 0 && Number.isFinite(total), key).toBe(true);
    }
  }
});
