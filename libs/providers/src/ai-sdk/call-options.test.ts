import type { JsonObject } from '@pointsman/schemas';
import { json, startScriptedUpstream, sse } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { callProvider, providerRequest, type RecordingSink } from '../provider.conformance.ts';
import type { DeploymentSettings, ReplySink } from '../provider.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { anthropicReply, awsParams, bedrockReply, geminiReply, nativeDeployment } from './fixtures/native-deployment.ts';
import { requests, weatherTool } from './fixtures/requests.ts';
import { namedEvents } from './fixtures/sse-bytes.ts';
import { createAiSdkProvider } from './index.ts';

const pools = new UpstreamPools();
const ask: JsonObject = { model: 'asked-for', messages: [{ role: 'user', content: 'hi' }] };

interface Sent {
  readonly body: JsonObject;
  readonly headers: Readonly<Record<string, string>>;
  readonly sink: RecordingSink;
  readonly started: Readonly<Record<string, string>>;
}

/** What one chat request becomes at a provider. */
async function send(body: JsonObject, { provider = 'anthropic', reply = anthropicReply([{ type: 'text', text: 'ok' }]), headers = {}, ...overrides }: Partial<DeploymentSettings> & { readonly reply?: object; readonly headers?: Record<string, string> } = {}): Promise<Sent> {
  await using upstream = await startScriptedUpstream({ reply: json(reply) });
  const model = { anthropic: 'claude-sonnet-4-5', gemini: 'gemini-2.5-flash', bedrock: 'anthropic.claude-sonnet-4-5-20250929-v1:0', cohere: 'command-a-03-2025', ollama: 'llama3.2' }[provider] ?? 'm';
  const settings = provider === 'bedrock' ? { apiKey: undefined, params: awsParams(upstream.url) } : {};
  const native = await createAiSdkProvider(nativeDeployment(provider, model, provider === 'bedrock' ? undefined : upstream.url, { ...settings, ...overrides }), { pools, env: {} });
  let started: Readonly<Record<string, string>> = {};
  const sink = await new Promise<RecordingSink>((resolve) => {
    const original = callProvider({ ...native, id: native.id, formats: native.formats, passthrough: native.passthrough, close: () => undefined, start: (request, recording) => native.start(request, listening(recording, (given) => { started = given; })) }, providerRequest(body, { headers }));
    void original.then(resolve);
  });
  native.close();
  return { body: (upstream.calls[0]?.json ?? {}) as JsonObject, headers: upstream.calls[0]?.headers ?? {}, sink, started };
}

function listening(sink: ReplySink, onHeaders: (headers: Readonly<Record<string, string>>) => void): ReplySink {
  return {
    onStart: (start) => { onHeaders(start.headers); sink.onStart(start); },
    onJson: (reply) => sink.onJson(reply),
    onEvents: (events) => sink.onEvents(events),
    onEnd: () => sink.onEnd(),
    onError: (error) => sink.onError(error),
  };
}

test.each([
  [{ n: 2 }, 'n', /'n'/],
  [{ messages: [] }, 'messages', /messages/],
  [{ messages: [{ role: 'wizard', content: 'x' }] }, 'messages[0].role', /messages\[0\]\.role/],
  [{ messages: [{ role: 'user', content: [{ type: 'hologram' }] }] }, 'messages[0].content[0].type', /image_url/],
  [{ messages: [{ role: 'assistant', content: null, tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{oops' } }] }] }, 'messages[0].tool_calls[0].function.arguments', /JSON/],
  [{ temperature: 'hot' }, 'temperature', /number/],
  [{ reasoning_effort: 'heroic' }, 'reasoning_effort', /low/],
  [{ response_format: { type: 'yaml' } }, 'response_format.type', /json_schema/],
  [{ tools: [{ type: 'teleporter' }] }, 'tools[0].type', /function/],
] as const)('%j cannot be mapped: the error names %s and nothing is sent', async (wrong, param, words) => {
  const { sink, headers } = await send({ ...ask, ...(wrong as unknown as JsonObject) });
  expect(sink.error).toMatchObject({ fault: 'bad_request', status: 400, param });
  expect(sink.error?.message).toMatch(words);
  expect(headers).toEqual({});
});

test('a parameter that only OpenAI has is named in a warning and not sent', async () => {
  const { body, started } = await send({ ...ask, logit_bias: { 5: 1 }, top_logprobs: 2 });
  expect(started['x-pointsman-warnings']).toContain('logit_bias is not supported');
  expect(body).not.toHaveProperty('logit_bias');
});

test('a parameter nobody here knows travels to Anthropic, but cannot replace what the gateway put there', async () => {
  const { body } = await send({ ...ask, container: 'c-1', system: 'not mine', context_management: { edits: [] }, ['__proto__']: 1 } as JsonObject);
  expect(body).toMatchObject({ container: 'c-1', context_management: { edits: [] }, model: 'claude-sonnet-4-5' });
});

test('a parameter nobody here knows is named in a warning for Gemini, which refuses unknown fields', async () => {
  const { body, started } = await send({ ...ask, safety_settings: [{ category: 'HARM_CATEGORY_HARASSMENT', threshold: 'BLOCK_NONE' }], sparkle: true }, { provider: 'gemini', reply: geminiReply([{ text: 'ok' }]) });
  expect(body).toMatchObject({ safetySettings: [{ threshold: 'BLOCK_NONE' }] });
  expect(body).not.toHaveProperty('sparkle');
  expect(started['x-pointsman-warnings']).toContain('sparkle');
});

test("a parameter nobody here knows is the model's own on Bedrock", async () => {
  const { body } = await send({ ...ask, top_a: 1, guardrailConfig: { guardrailIdentifier: 'g', guardrailVersion: '1' } }, { provider: 'bedrock', reply: bedrockReply([{ text: 'ok' }]) });
  expect(body).toMatchObject({ additionalModelRequestFields: { top_a: 1 }, guardrailConfig: { guardrailIdentifier: 'g' } });
});

test('gateway parameters are not sent on', async () => {
  const { body } = await send({ ...ask, fallbacks: ['x'], num_retries: 3, metadata: { tags: ['a'] }, mock_response: 'x' });
  for (const name of ['fallbacks', 'num_retries', 'metadata', 'mock_response']) expect(body).not.toHaveProperty(name);
});

test("the caller's token limit includes thinking, as it does at OpenAI and Anthropic", async () => {
  expect((await send({ ...ask, max_tokens: 3000, thinking: { type: 'enabled', budget_tokens: 1024 } })).body).toMatchObject({ max_tokens: 3000, thinking: { budget_tokens: 1024 } });
  expect((await send({ ...ask, max_tokens: 1024, thinking: { type: 'enabled', budget_tokens: 1024 } })).body).toMatchObject({ max_tokens: 1025 });
  expect((await send({ ...ask, max_completion_tokens: 9000, thinking: { type: 'enabled', budget_tokens: 1024 } }, { provider: 'bedrock', reply: bedrockReply([{ text: 'ok' }]) })).body).toMatchObject({ inferenceConfig: { maxTokens: 9000 } });
});

test('later system messages are heard by providers that take them only at the start', async () => {
  const late: JsonObject = { ...ask, messages: [{ role: 'system', content: 'one' }, { role: 'user', content: 'hi' }, { role: 'developer', content: 'two' }] };
  expect((await send(late)).body).toMatchObject({ system: [{ text: 'one' }, { text: 'two' }], messages: [{ role: 'user' }] });
  expect((await send(late, { provider: 'gemini', reply: geminiReply([{ text: 'ok' }]) })).body).toMatchObject({ systemInstruction: { parts: [{ text: 'one' }, { text: 'two' }] } });
});

test('tool_choice none keeps the tools that the conversation refers to', async () => {
  const { body } = await send({ ...requests.toolResults, tool_choice: 'none' });
  expect(body).toMatchObject({ tools: [{ name: 'get_weather' }], tool_choice: { type: 'none' } });
});

test('parallel_tool_calls: false and a named tool reach Anthropic', async () => {
  const { body } = await send({ ...ask, tools: [weatherTool], tool_choice: { type: 'function', function: { name: 'get_weather' } }, parallel_tool_calls: false });
  expect(body).toMatchObject({ tool_choice: { type: 'tool', name: 'get_weather', disable_parallel_tool_use: true } });
});

test('JSON mode without a schema is any object', async () => {
  const { body, sink } = await send({ ...ask, response_format: { type: 'json_object' } }, { reply: { ...anthropicReply([{ type: 'tool_use', id: 't', name: 'json', input: { a: 1 } }]), stop_reason: 'tool_use' } });
  expect(body).toMatchObject({ tools: [{ name: 'json', input_schema: { type: 'object' } }] });
  expect(sink.json).toMatchObject({ choices: [{ message: { content: '{"a":1}' }, finish_reason: 'stop' }] });
});

test('hosted tools of Anthropic pass by their own type', async () => {
  const { body } = await send({ ...ask, tools: [{ type: 'web_search_20250305', name: 'web_search', max_uses: 3 }] });
  expect(body).toMatchObject({ tools: [{ type: 'web_search_20250305', name: 'web_search', max_uses: 3 }] });
});

test('trace headers travel, credentials of the client do not', async () => {
  const { headers } = await send(ask, { headers: { traceparent: '00-abc-def-01', tracestate: 'a=b', 'x-api-key': 'stolen', authorization: 'Bearer stolen' } });
  expect(headers).toMatchObject({ traceparent: '00-abc-def-01', tracestate: 'a=b', 'x-api-key': 'test-key-123' });
  expect(headers).not.toHaveProperty('authorization');
});

test('the key is masked when the provider quotes it', async () => {
  await using upstream = await startScriptedUpstream({ reply: json({ error: { code: 400, message: `API key not valid: test-key-123 ${'x'.repeat(2000)}`, status: 'INVALID_ARGUMENT' } }, { status: 400 }) });
  const provider = await createAiSdkProvider(nativeDeployment('gemini', 'gemini-2.5-flash', upstream.url), { pools, env: {} });
  const sink = await callProvider(provider, providerRequest(ask));
  expect(sink.error?.fault).toBe('auth');
  expect(sink.error?.message).not.toContain('test-key-123');
  expect(sink.error?.message.length).toBeLessThanOrEqual(500);
  provider.close();
});

test("a stream has exactly OpenAI's shape: role, content, finish, usage without choices, [DONE]", async () => {
  const events = namedEvents([
    { type: 'message_start', message: anthropicReply([]) },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hi' } },
    { type: 'content_block_stop', index: 0 },
    { type: 'content_block_start', index: 1, content_block: { type: 'tool_use', id: 'toolu_1', name: 'now', input: {} } },
    { type: 'content_block_stop', index: 1 },
    { type: 'message_delta', delta: { stop_reason: 'tool_use', stop_sequence: null }, usage: { output_tokens: 2 } },
    { type: 'message_stop' },
  ]);
  await using upstream = await startScriptedUpstream({ reply: { ...sse([], { done: false }), steps: [events] } });
  const provider = await createAiSdkProvider(nativeDeployment('anthropic', 'claude-sonnet-4-5', upstream.url), { pools, env: {} });
  const sink = await callProvider(provider, providerRequest({ ...ask, stream: true }));
  const head = { id: 'msg_01', object: 'chat.completion.chunk', created: expect.any(Number) as number, model: 'claude-sonnet-4-5' };
  const chunk = (delta: JsonObject, finish: string | null = null): JsonObject => ({ ...head, choices: [{ index: 0, delta, finish_reason: finish }] });
  expect(sink.events.map(({ value }) => value)).toEqual([
    chunk({ role: 'assistant', content: '' }),
    chunk({ content: 'Hi' }),
    chunk({ tool_calls: [{ index: 0, id: 'toolu_1', type: 'function', function: { name: 'now', arguments: '' } }] }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: '{}' } }] }),
    chunk({}, 'tool_calls'),
    { ...head, choices: [], usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, prompt_tokens_details: { cached_tokens: 0, cache_creation_tokens: 0 }, completion_tokens_details: { reasoning_tokens: 0 } } },
    undefined,
  ]);
  expect(sink.events.at(-1)?.data).toBe('[DONE]');
  for (const event of sink.events.slice(0, -1)) expect(JSON.parse(event.data)).toEqual(event.value);
  provider.close();
});
