import { describe, expect, test } from 'vitest';
import { compileCost } from './cost.ts';
import { withCustomPrices } from './custom-prices.ts';
import { modelFacts } from './model-facts.ts';
import { numberField, toModelPrice } from './model-price.ts';
import { createPriceMap, loadPriceMap } from './price-map.ts';

const map = loadPriceMap();

test('the built-in map knows 4,241 models', () => {
  expect(map.size).toBe(4241);
});

// [provider, model, base model, entry]
test.each([
  ['openai', 'gpt-4o', undefined, 'gpt-4o'],
  ['openai', 'openai/gpt-4o', undefined, 'gpt-4o'],
  ['openai', 'gpt-4o-2024-08-06', undefined, 'gpt-4o-2024-08-06'],
  ['openai', 'gpt-4o-2031-01-01', undefined, 'gpt-4o'],
  ['openai', 'ft:gpt-4o-2024-08-06:acme::abc123', undefined, 'ft:gpt-4o-2024-08-06'],
  ['azure', 'my-deployment', 'gpt-4o', 'azure/gpt-4o'],
  ['azure', 'my-deployment', 'azure/gpt-4o', 'azure/gpt-4o'],
  ['azure', 'eu/gpt-4o', undefined, 'azure/eu/gpt-4o'],
  ['azure', 'global-standard/gpt-4.1-mini', undefined, 'azure/gpt-4.1-mini'],
  ['azure', 'my-deployment', undefined, undefined],
  ['bedrock', 'us.anthropic.claude-3-7-sonnet-20250219-v1:0', undefined, 'us.anthropic.claude-3-7-sonnet-20250219-v1:0'],
  ['bedrock', 'global.anthropic.claude-3-7-sonnet-20250219-v1:0', undefined, 'anthropic.claude-3-7-sonnet-20250219-v1:0'],
  ['bedrock', 'converse/us.anthropic.claude-3-7-sonnet-20250219-v1:0', undefined, 'us.anthropic.claude-3-7-sonnet-20250219-v1:0'],
  ['bedrock', 'us-east-1/anthropic.claude-v2:1', undefined, 'bedrock/us-east-1/anthropic.claude-v2:1'],
  ['bedrock', 'eu-west-7/anthropic.claude-3-7-sonnet-20250219-v1:0', undefined, 'anthropic.claude-3-7-sonnet-20250219-v1:0'],
  ['bedrock', 'arn:aws:bedrock:us-east-1:1:application-inference-profile/x', 'anthropic.claude-3-7-sonnet-20250219-v1:0', 'anthropic.claude-3-7-sonnet-20250219-v1:0'],
  ['vertex_ai', 'gemini-2.5-pro', undefined, 'gemini-2.5-pro'],
  ['gemini', 'gemini-2.5-pro', undefined, 'gemini/gemini-2.5-pro'],
  ['gemini', 'gemini-2.5-pro-007', undefined, 'gemini/gemini-2.5-pro'],
  ['dashscope', 'qwen-flash', undefined, 'dashscope/qwen-flash'],
  ['hosted_vllm', 'gpt-4o', undefined, undefined],
  ['openai', 'no-such-model', undefined, undefined],
  ['openai', '__proto__', undefined, undefined],
  ['openai', 'constructor', undefined, undefined],
  ['openai', '', undefined, undefined],
])('%s %s (base model %s) has the price of %s', (provider, model, baseModel, key) => {
  expect(map.findPrice({ provider, model, baseModel })?.key).toBe(key);
});

test.each([
  ['openai', 'GPT-4O', undefined, 'gpt-4o'],
  ['openai', 'gpt-4o ', undefined, 'gpt-4o'],
  ['openai', ' OpenAI/Gpt-4o\t', undefined, 'gpt-4o'],
  ['openai', 'GPT-4o-2031-01-01', undefined, 'gpt-4o'],
  ['openai', 'FT:gpt-4o-2024-08-06:Acme::abc123', undefined, 'ft:gpt-4o-2024-08-06'],
  ['azure', 'my-deployment', 'Azure/GPT-4o ', 'azure/gpt-4o'],
  ['hosted_vllm', 'GPT-4O', undefined, undefined],
  ['openai', '__PROTO__', undefined, undefined],
  ['openai', ' ', undefined, undefined],
])('%s %j (base model %j) is not free for the way it is written: it has the price of %s', (provider, model, baseModel, key) => {
  expect(map.findPrice({ provider, model, baseModel })?.key).toBe(key);
});

test('the name as written wins over the same name in another case, and entries with capitals are found in lower case', () => {
  const own = createPriceMap({ 'acme/Big': { input_cost_per_token: 1, litellm_provider: 'acme' }, 'acme/big': { input_cost_per_token: 2, litellm_provider: 'acme' }, 'acme/Llama-3': { litellm_provider: 'acme' } });
  expect(own.findPrice({ provider: 'acme', model: 'Big' })?.key).toBe('acme/Big');
  expect(own.findPrice({ provider: 'acme', model: 'BIG' })?.key).toBe('acme/big');
  expect(own.findPrice({ provider: 'acme', model: 'llama-3' })?.key).toBe('acme/Llama-3');
});

test('an operator may bring another map; what is not an entry is left out', () => {
  const own = createPriceMap({ sample_spec: { input_cost_per_token: 1 }, 'acme/one': { input_cost_per_token: 2, litellm_provider: 'acme' }, broken: 'text', list: [] });
  expect(own.size).toBe(1);
  expect(own.findPrice({ provider: 'acme', model: 'one' })?.key).toBe('acme/one');
});

describe('custom prices', () => {
  const listed = toModelPrice('x', {
    input_cost_per_token: 5, input_cost_per_token_above_200k_tokens: 10, input_cost_per_token_batches: 2, cache_read_input_token_cost: 1, cache_creation_input_token_cost: 6,
    output_cost_per_token: 20, output_cost_per_token_above_200k_tokens: 40, max_input_tokens: 100, litellm_provider: 'acme', mode: 'chat',
  });

  test('nothing custom leaves the entry as it is', () => {
    expect(withCustomPrices(listed, { model: 'acme/x', api_key: 'k', rpm: 5 }, { id: 'a' })).toBe(listed);
    expect(withCustomPrices(undefined, { model: 'acme/x' }, {})).toBeUndefined();
  });

  test('a custom input price replaces the whole input side: long-context, batch and cache prices of the list do not mix with it', () => {
    const price = withCustomPrices(listed, { input_cost_per_token: 1 });
    if (price === undefined) throw new Error('no price');
    const cost = compileCost(price);
    expect(cost({ promptTokens: 300_000, completionTokens: 0, cachedTokens: 100 })).toBe(300_000);
    expect(cost({ promptTokens: 10, completionTokens: 1 })).toBe(30);
    expect(cost({ promptTokens: 10, completionTokens: 0, serviceTier: 'batch' })).toBe(5);
    expect(numberField(price, 'output_cost_per_token_above_200k_tokens')).toBe(40);
  });

  test('a custom cache price alone replaces only itself', () => {
    const price = withCustomPrices(listed, { cache_read_input_token_cost: '0.5' });
    if (price === undefined) throw new Error('no price');
    expect(compileCost(price)({ promptTokens: 10, completionTokens: 0, cachedTokens: 4 })).toBe(32);
  });

  test('litellm_params come before model_info, and both before the list; zero is a price', () => {
    const price = withCustomPrices(listed, { input_cost_per_token: 0 }, { input_cost_per_token: 7, output_cost_per_token: 3, max_input_tokens: 500, supports_vision: true, mode: 'embedding' });
    if (price === undefined) throw new Error('no price');
    expect(compileCost(price)({ promptTokens: 10, completionTokens: 1 })).toBe(3);
    expect(modelFacts(price)).toMatchObject({ maxInputTokens: 500, mode: 'embedding', inputCostPerToken: 0 });
    expect(modelFacts(price).supports.has('vision')).toBe(true);
  });

  test('a model that the map does not know has the custom price', () => {
    const price = withCustomPrices(undefined, { input_cost_per_token: 1e-6, output_cost_per_token: 2e-6 });
    expect(price?.key).toBe('custom');
    if (price !== undefined) expect(compileCost(price)({ promptTokens: 1000, completionTokens: 1000 })).toBeCloseTo(0.003, 12);
  });

  test('a custom price on a tiered model replaces the tiers', () => {
    const tiered = map.findPrice({ provider: 'dashscope', model: 'qwen-flash' });
    const price = withCustomPrices(tiered, { input_cost_per_token: 1, output_cost_per_token: 2 });
    if (price === undefined) throw new Error('no price');
    expect(compileCost(price)({ promptTokens: 10, completionTokens: 1 })).toBe(12);
  });

  test('what is no amount is not taken for one', () => {
    expect(withCustomPrices(listed, { input_cost_per_token: 'free', output_cost_per_token: -3 })).toBe(listed);
  });
});

describe('facts', () => {
  test('limits, mode and features of a model', () => {
    const facts = modelFacts(map.findPrice({ provider: 'openai', model: 'gpt-4o' }));
    expect(facts).toMatchObject({ maxInputTokens: 128_000, maxOutputTokens: 16_384, mode: 'chat', inputCostPerToken: 0.0000025, outputCostPerToken: 0.00001 });
    expect(facts.supports.has('function_calling')).toBe(true);
  });
  test('what a model lacks is not the same as what nobody knows', () => {
    const facts = modelFacts(toModelPrice('x', { supports_vision: false }));
    expect([facts.supports.has('vision'), facts.lacks.has('vision'), facts.lacks.has('reasoning')]).toEqual([false, true, false]);
  });
  test('a tiered model shows the price of small prompts; max_tokens bounds an embedding\'s prompt and a chat\'s reply', () => {
    expect(modelFacts(map.findPrice({ provider: 'dashscope', model: 'qwen-flash' })).inputCostPerToken).toBe(5e-8);
    expect(modelFacts(toModelPrice('e', { mode: 'embedding', max_tokens: 512 }))).toMatchObject({ maxInputTokens: 512, maxOutputTokens: undefined });
    expect(modelFacts(toModelPrice('c', { mode: 'chat', max_tokens: 512 }))).toMatchObject({ maxInputTokens: undefined, maxOutputTokens: 512 });
  });
  test('of an unknown model nothing is known', () => {
    expect(modelFacts(undefined)).toMatchObject({ maxInputTokens: undefined, mode: undefined });
  });
});
