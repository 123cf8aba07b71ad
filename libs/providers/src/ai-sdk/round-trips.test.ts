import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import { json, sse, startScriptedUpstream } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { callProvider, providerRequest } from '../provider.conformance.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { anthropicReply, awsParams, bedrockReply, geminiReply, nativeDeployment } from './fixtures/native-deployment.ts';
import { weatherTool } from './fixtures/requests.ts';
import { googleEvents, namedEvents } from './fixtures/sse-bytes.ts';
import { createAiSdkProvider } from './index.ts';

const parts = { pools: new UpstreamPools(), env: {} };
const ask = { model: 'asked-for', messages: [{ role: 'user', content: 'hi' }] };

function messageOf(reply: JsonObject | undefined): JsonObject {
  const choices = reply?.['choices'];
  const choice = Array.isArray(choices) ? choices[0] : undefined;
  const message = isJsonObject(choice) ? choice['message'] : undefined;
  if (!isJsonObject(message)) throw new Error('There is no message.');
  return message;
}

const nextTurn = (message: JsonValue, ...more: JsonObject[]): JsonObject => ({ ...ask, messages: [...ask.messages, message, ...more, { role: 'user', content: 'go on' }] });

test("Anthropic's thinking comes back with its signature, redacted thinking too", async () => {
  const thinking = [{ type: 'thinking', thinking: 'Hmm. ', signature: 'sig-1' }, { type: 'redacted_thinking', data: 'blob' }];
  await using upstream = await startScriptedUpstream({ reply: json(anthropicReply([...thinking, { type: 'text', text: 'Done.' }])) });
  const provider = await createAiSdkProvider(nativeDeployment('anthropic', 'claude-sonnet-4-5', upstream.url), parts);
  const message = messageOf((await callProvider(provider, providerRequest(ask))).json);
  expect(message).toMatchObject({ content: 'Done.', reasoning_content: 'Hmm. ', thinking_blocks: thinking });
  await callProvider(provider, providerRequest(nextTurn(message)));
  expect(upstream.calls[1]?.json).toMatchObject({ messages: [{ role: 'user' }, { role: 'assistant', content: [...thinking, { type: 'text', text: 'Done.' }] }, { role: 'user' }] });
  provider.close();
});

test('a streamed signature arrives as a thinking block of its own', async () => {
  const events = namedEvents([
    { type: 'message_start', message: anthropicReply([]) },
    { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Hmm.' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'sig-1' } },
    { type: 'content_block_stop', index: 0 },
    { type: 'content_block_start', index: 1, content_block: { type: 'redacted_thinking', data: 'blob' } },
    { type: 'content_block_stop', index: 1 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 1 } },
    { type: 'message_stop' },
  ]);
  await using upstream = await startScriptedUpstream({ reply: { ...sse([], { done: false }), steps: [events] } });
  const provider = await createAiSdkProvider(nativeDeployment('anthropic', 'claude-sonnet-4-5', upstream.url), parts);
  const sink = await callProvider(provider, providerRequest({ ...ask, stream: true }));
  const blocks = sink.events.flatMap(({ value }) => {
    const delta = messageLike(value);
    return Array.isArray(delta?.['thinking_blocks']) ? delta['thinking_blocks'] : [];
  });
  expect(blocks).toEqual([{ type: 'thinking', thinking: 'Hmm.' }, { type: 'thinking', thinking: '', signature: 'sig-1' }, { type: 'redacted_thinking', data: 'blob' }]);
  provider.close();
});

function messageLike(value: unknown): JsonObject | undefined {
  const choices = isJsonObject(value) ? value['choices'] : undefined;
  const choice = Array.isArray(choices) ? choices[0] : undefined;
  const delta = isJsonObject(choice) ? choice['delta'] : undefined;
  return isJsonObject(delta) ? delta : undefined;
}

test("Bedrock's reasoning comes back with its signature", async () => {
  const reasoning = [{ reasoningContent: { reasoningText: { text: 'Hmm.', signature: 'sig-1' } } }, { reasoningContent: { redactedContent: 'YmxvYg==' } }];
  await using upstream = await startScriptedUpstream({ reply: json(bedrockReply([...reasoning, { text: 'Done.' }])) });
  const provider = await createAiSdkProvider(nativeDeployment('bedrock', 'anthropic.claude-sonnet-4-5-20250929-v1:0', undefined, { apiKey: undefined, params: awsParams(upstream.url) }), parts);
  const message = messageOf((await callProvider(provider, providerRequest(ask))).json);
  expect(message['thinking_blocks']).toEqual([{ type: 'thinking', thinking: 'Hmm.', signature: 'sig-1' }, { type: 'redacted_thinking', data: 'YmxvYg==' }]);
  await callProvider(provider, providerRequest(nextTurn(message)));
  expect(upstream.calls[1]?.json).toMatchObject({ messages: [{ role: 'user' }, { role: 'assistant', content: [...reasoning, { text: 'Done.' }] }, { role: 'user' }] });
  provider.close();
});

test("Gemini's thought signatures survive on tool calls and on text", async () => {
  const reply = [{ text: 'Looking.', thoughtSignature: 'dGV4dA==' }, { functionCall: { id: 'fc_1', name: 'get_weather', args: { city: 'Paris' } }, thoughtSignature: 'Y2FsbA==' }];
  await using upstream = await startScriptedUpstream({ reply: json(geminiReply(reply)) });
  const provider = await createAiSdkProvider(nativeDeployment('gemini', 'gemini-3-pro-preview', upstream.url), parts);
  const message = messageOf((await callProvider(provider, providerRequest({ ...ask, tools: [weatherTool] }))).json);
  expect(message).toMatchObject({ tool_calls: [{ id: 'fc_1', provider_specific_fields: { thought_signature: 'Y2FsbA==' }, extra_content: { google: { thought_signature: 'Y2FsbA==' } } }], provider_specific_fields: { thought_signatures: ['dGV4dA=='] } });
  await callProvider(provider, providerRequest({ ...nextTurn(message, { role: 'tool', tool_call_id: 'fc_1', content: '18' }), tools: [weatherTool] }));
  expect(upstream.calls[1]?.json).toMatchObject({ contents: [{ role: 'user' }, { role: 'model', parts: [{ text: 'Looking.', thoughtSignature: 'dGV4dA==' }, { functionCall: { name: 'get_weather' }, thoughtSignature: 'Y2FsbA==' }] }, { role: 'user' }, { role: 'user' }] });
  provider.close();
});

test("a client that knows only Google's own field keeps the signature too", async () => {
  await using upstream = await startScriptedUpstream({ reply: { ...sse([], { done: false }), steps: [googleEvents([geminiReply([{ text: 'ok' }])])] } });
  const provider = await createAiSdkProvider(nativeDeployment('gemini', 'gemini-3-pro-preview', upstream.url), parts);
  const call = { id: 'fc_1', type: 'function', function: { name: 'get_weather', arguments: '{}' }, extra_content: { google: { thought_signature: 'Y2FsbA==' } } };
  await callProvider(provider, providerRequest({ ...nextTurn({ role: 'assistant', content: null, tool_calls: [call] }, { role: 'tool', tool_call_id: 'fc_1', content: '18' }), stream: true }));
  expect(upstream.calls[0]?.json).toMatchObject({ contents: [{}, { role: 'model', parts: [{ functionCall: { name: 'get_weather' }, thoughtSignature: 'Y2FsbA==' }] }, {}, {}] });
  provider.close();
});

const cached: JsonObject = { type: 'ephemeral', ttl: '1h' };
const cachedRequest: JsonObject = {
  model: 'asked-for',
  messages: [
    { role: 'system', content: [{ type: 'text', text: 'Long rules.', cache_control: cached }] },
    { role: 'user', content: [{ type: 'text', text: 'Long book.', cache_control: cached }, { type: 'text', text: 'A question.' }] },
  ],
  tools: [{ ...weatherTool, cache_control: cached }],
};

test('cache_control of system, parts and tools reaches Anthropic', async () => {
  await using upstream = await startScriptedUpstream({ reply: json(anthropicReply([{ type: 'text', text: 'ok' }])) });
  const provider = await createAiSdkProvider(nativeDeployment('anthropic', 'claude-sonnet-4-5', upstream.url), parts);
  await callProvider(provider, providerRequest(cachedRequest));
  expect(upstream.calls[0]?.json).toMatchObject({
    system: [{ text: 'Long rules.', cache_control: cached }],
    messages: [{ content: [{ text: 'Long book.', cache_control: cached }, { text: 'A question.' }] }],
    tools: [{ name: 'get_weather', cache_control: cached }],
  });
  provider.close();
});

test('cache_control of system, parts and tools reaches Bedrock as cache points', async () => {
  const point = { cachePoint: { type: 'default', ttl: '1h' } };
  await using upstream = await startScriptedUpstream({ reply: json(bedrockReply([{ text: 'ok' }])) });
  const provider = await createAiSdkProvider(nativeDeployment('bedrock', 'anthropic.claude-sonnet-4-5-20250929-v1:0', undefined, { apiKey: undefined, params: awsParams(upstream.url) }), parts);
  await callProvider(provider, providerRequest(cachedRequest));
  expect(upstream.calls[0]?.json).toMatchObject({
    system: [{ text: 'Long rules.' }, point],
    messages: [{ content: [{ text: 'Long book.' }, point, { text: 'A question.' }] }],
    toolConfig: { tools: [{ toolSpec: { name: 'get_weather' } }, point] },
  });
  provider.close();
});
