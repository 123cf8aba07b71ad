import { compileCost, createPriceMap } from '@pointsman/pricing';
import type { JsonObject } from '@pointsman/schemas';
import { createStreamInspector, usageOfReply, type Usage } from '@pointsman/wire-formats';
import { expect, test } from 'vitest';

/** Every price that a token can have, each of them different, so that a kind that is lost or counted twice shows. */
const price = createPriceMap({
  rich: {
    litellm_provider: 'openai', mode: 'chat', input_cost_per_token: 1e-6, output_cost_per_token: 3e-6, cache_read_input_token_cost: 1e-7, cache_creation_input_token_cost: 1.25e-6,
    cache_creation_input_token_cost_above_1hr: 2e-6, input_cost_per_audio_token: 7e-6, output_cost_per_audio_token: 11e-6, input_cost_per_image_token: 5e-6, output_cost_per_image_token: 13e-6,
    output_cost_per_reasoning_token: 17e-6, input_cost_per_token_above_128k_tokens: 2e-6, output_cost_per_token_above_128k_tokens: 6e-6, input_cost_per_token_above_200k_tokens: 4e-6,
    output_cost_per_token_above_200k_tokens: 8e-6, input_cost_per_token_above_272k_tokens: 9e-6, input_cost_per_token_flex: 5e-7, output_cost_per_token_flex: 1.5e-6,
    input_cost_per_token_priority: 2.5e-6, output_cost_per_token_priority: 7.5e-6, input_cost_per_token_batches: 4e-7, output_cost_per_token_batches: 1.2e-6,
    search_context_cost_per_query: { search_context_size_low: 0.005, search_context_size_medium: 0.01, search_context_size_high: 0.02 },
  },
}).get('rich');
if (price === undefined) throw new Error('the price is in the map');
const costOf = compileCost(price) satisfies (usage: Usage) => number;

const chatUsage = (prompt: number, completion: number, input: JsonObject = {}, output: JsonObject = {}, more: JsonObject = {}): JsonObject => ({
  prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion, prompt_tokens_details: input, completion_tokens_details: output, ...more,
});
const responsesUsage = (prompt: number, completion: number, input: JsonObject = {}, output: JsonObject = {}): JsonObject => ({
  input_tokens: prompt, output_tokens: completion, total_tokens: prompt + completion, input_tokens_details: input, output_tokens_details: output,
});

interface Case {
  readonly format: 'chat' | 'completions' | 'responses' | 'messages';
  readonly reply: JsonObject;
  readonly events: readonly JsonObject[];
  readonly usd: number;
}

const chat = (usage: JsonObject, usd: number, tier?: string): Case => ({
  format: 'chat', usd, reply: { choices: [], usage, ...(tier === undefined ? {} : { service_tier: tier }) },
  // OpenAI names the tier in every chunk; who names it only in the first is billed the same.
  events: [{ choices: [{ index: 0, delta: { content: 'hi' } }], ...(tier === undefined ? {} : { service_tier: tier }) }, { choices: [{ index: 0, delta: { content: ' you' } }] }, { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }, { choices: [], usage }],
});
const responses = (usage: JsonObject, usd: number, more: JsonObject = {}): Case => ({
  format: 'responses', usd, reply: { output: [], usage, ...more }, events: [{ type: 'response.output_text.delta', output_index: 0, delta: 'hi' }, { type: 'response.completed', response: { output: [], usage, ...more } }],
});
const messages = (usage: JsonObject, outputTokens: number, usd: number): Case => ({
  format: 'messages', usd, reply: { content: [], usage: { ...usage, output_tokens: outputTokens } },
  events: [{ type: 'message_start', message: { usage: { ...usage, output_tokens: 1 } } }, { type: 'content_block_delta', delta: { type: 'text_delta', text: 'hi' } }, { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: outputTokens } }],
});

const cases: Readonly<Record<string, Case>> = {
  'chat: text': chat(chatUsage(1000, 100), 1000e-6 + 300e-6),
  'chat: cached': chat(chatUsage(1000, 100, { cached_tokens: 600 }), 400e-6 + 60e-6 + 300e-6),
  'chat: written to the cache, for five minutes and for an hour': chat(chatUsage(1000, 100, { cache_creation_tokens: 500, cache_creation_1h_tokens: 200 }), 500e-6 + 375e-6 + 400e-6 + 300e-6),
  'chat: sound': chat(chatUsage(1000, 100, { audio_tokens: 300 }, { audio_tokens: 40 }), 700e-6 + 2100e-6 + 180e-6 + 440e-6),
  'chat: pictures': chat(chatUsage(1000, 100, { image_tokens: 300 }, { image_tokens: 40 }), 700e-6 + 1500e-6 + 180e-6 + 520e-6),
  'chat: reasoning': chat(chatUsage(1000, 100, {}, { reasoning_tokens: 60 }), 1000e-6 + 120e-6 + 1020e-6),
  'chat: above 128k': chat(chatUsage(130_000, 100), 130_000 * 2e-6 + 600e-6),
  'chat: above 200k': chat(chatUsage(210_000, 100), 210_000 * 4e-6 + 800e-6),
  'chat: above 272k': chat(chatUsage(280_000, 100), 280_000 * 9e-6 + 300e-6),
  'chat: flex': chat(chatUsage(1000, 100), 500e-6 + 150e-6, 'flex'),
  'chat: priority': chat(chatUsage(1000, 100), 2500e-6 + 750e-6, 'priority'),
  'chat: default tier': chat(chatUsage(1000, 100), 1300e-6, 'default'),
  'chat: a search by its context (Perplexity)': chat(chatUsage(1000, 100, {}, {}, { search_context_size: 'low' }), 1300e-6 + 0.005),
  'chat: searches by number (Perplexity)': chat(chatUsage(1000, 100, {}, {}, { num_search_queries: 3 }), 1300e-6 + 0.03),
  'completions: text': { ...chat(chatUsage(1000, 100), 1300e-6), format: 'completions', events: [{ choices: [{ index: 0, text: 'hi' }] }, { choices: [{ index: 0, text: '', finish_reason: 'stop' }], usage: chatUsage(1000, 100) }] },
  'responses: all kinds': responses(responsesUsage(1000, 100, { cached_tokens: 100, audio_tokens: 100, image_tokens: 100 }, { reasoning_tokens: 20, audio_tokens: 10, image_tokens: 10 }), 700e-6 + 10e-6 + 700e-6 + 500e-6 + 180e-6 + 340e-6 + 110e-6 + 130e-6),
  'responses: flex': responses(responsesUsage(1000, 100), 650e-6, { service_tier: 'flex' }),
  'responses: searches, pages that were opened not': responses(responsesUsage(1000, 100), 1300e-6 + 0.02, { output: [{ type: 'web_search_call', action: { type: 'search' } }, { type: 'web_search_call' }, { type: 'web_search_call', action: { type: 'open_page' } }, { type: 'message' }] }),
  'messages: cache read and written, for five minutes and for an hour': messages({ input_tokens: 400, cache_read_input_tokens: 100, cache_creation_input_tokens: 500, cache_creation: { ephemeral_1h_input_tokens: 200, ephemeral_5m_input_tokens: 300 } }, 100, 400e-6 + 10e-6 + 375e-6 + 400e-6 + 300e-6),
  'messages: priority': messages({ input_tokens: 1000, service_tier: 'priority' }, 100, 3250e-6),
  'messages: batch': messages({ input_tokens: 1000, service_tier: 'batch' }, 100, 520e-6),
  'messages: standard tier, searches': messages({ input_tokens: 1000, service_tier: 'standard', server_tool_use: { web_search_requests: 2 } }, 100, 1300e-6 + 0.02),
};

test.each(Object.entries(cases))('the same costs the same, streamed or not: %s', (_name, { format, reply, events, usd }) => {
  const whole = usageOfReply(format, reply);
  const inspector = createStreamInspector(format);
  for (const event of events) inspector.inspect({ event: '', data: JSON.stringify(event) });
  const streamed = inspector.usage();
  if (whole === undefined || streamed === undefined) throw new Error('both replies report usage');
  expect(inspector.unreported.text).toBe('');
  expect(Math.abs(costOf(whole) - usd)).toBeLessThan(1e-12);
  expect(Math.abs(costOf(streamed) - usd)).toBeLessThan(1e-12);
});

test('embeddings: the prompt alone', () => {
  const usage = usageOfReply('embeddings', { usage: { prompt_tokens: 1000, total_tokens: 1000 } });
  if (usage === undefined) throw new Error('the reply reports usage');
  expect(costOf(usage)).toBeCloseTo(1000e-6, 12);
});
