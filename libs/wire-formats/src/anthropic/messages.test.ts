import Anthropic from '@anthropic-ai/sdk';
import type { MessageCreateParams } from '@anthropic-ai/sdk/resources/messages';
import { AppError } from '@pointsman/errors';
import type { JsonObject } from '@pointsman/schemas';
import { describe, expect, test } from 'vitest';
import { chatChunk, everythingReply, everythingStream, usageChunk } from '../chat/__fixtures__/chat-stream.ts';
import { formatSse } from '../format-sse.ts';
import { createStreamInspector } from '../stream-inspector.ts';
import { translateToChat } from '../translate-to-chat.ts';
import type { SseEvent } from '../sse.ts';
import { messagesToChat } from './to-chat-request.ts';

const context = { id: '0a1b', createdAt: 1_700_000_000, model: 'auto' };
const hello: JsonObject = { model: 'auto', max_tokens: 100, messages: [{ role: 'user', content: 'hi' }] };

function asChat(body: MessageCreateParams | JsonObject, keep?: Parameters<typeof messagesToChat>[1]): JsonObject {
  return messagesToChat(JSON.parse(JSON.stringify(body)) as JsonObject, keep);
}

function translated(chunks: readonly object[]): SseEvent[] {
  const stream = translateToChat('messages', hello, context).stream();
  return [...chunks.flatMap((chunk) => stream.push(chunk)), ...stream.finish()];
}

function sdkFor(reply: () => Response): Anthropic {
  return new Anthropic({ apiKey: 'sk-test', maxRetries: 0, fetch: () => Promise.resolve(reply()) });
}

describe('an Anthropic request as a chat request', () => {
  test('sampling, stop, user and stream', () => {
    expect(asChat({
      model: 'auto', max_tokens: 50, stream: true, temperature: 0.2, top_p: 0.9, top_k: 5, stop_sequences: ['END'], metadata: { user_id: 'u1' },
      system: 'Be brief.', messages: [{ role: 'user', content: 'hi' }, { role: 'assistant', content: 'Hello' }, { role: 'user', content: 'go on' }],
    })).toEqual({
      model: 'auto', max_tokens: 50, stream: true, stream_options: { include_usage: true }, temperature: 0.2, top_p: 0.9, stop: ['END'], user: 'u1',
      messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'hi' }, { role: 'assistant', content: 'Hello' }, { role: 'user', content: 'go on' }],
    });
  });

  test('what only some providers take travels only when asked for', () => {
    const body: JsonObject = {
      model: 'auto', max_tokens: 100, top_k: 5,
      system: [{ type: 'text', text: 'A' }, { type: 'text', text: 'B', cache_control: { type: 'ephemeral' } }],
      messages: [{ role: 'assistant', content: [{ type: 'thinking', thinking: 'hm', signature: 's' }, { type: 'text', text: 'yes' }] }],
    };
    expect(asChat(body)).toEqual({ model: 'auto', max_tokens: 100, messages: [{ role: 'system', content: 'A\nB' }, { role: 'assistant', content: 'yes' }] });
    expect(asChat(body, new Set(['reasoning', 'cache_control', 'top_k'] as const))).toMatchObject({
      top_k: 5,
      messages: [
        { role: 'system', content: [{ type: 'text', text: 'A' }, { type: 'text', text: 'B', cache_control: { type: 'ephemeral' } }] },
        { role: 'assistant', content: 'yes', reasoning_content: 'hm', thinking_blocks: [{ type: 'thinking', thinking: 'hm', signature: 's' }] },
      ],
    });
  });

  test('images, documents and search results', () => {
    expect(asChat({
      model: 'm', max_tokens: 1, messages: [{ role: 'user', content: [
        { type: 'text', text: 'See' },
        { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAA' } },
        { type: 'image', source: { type: 'url', url: 'https://x/y.png' } },
        { type: 'document', title: 'T', source: { type: 'text', media_type: 'text/plain', data: 'words' } },
        { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBER' } },
        { type: 'document', source: { type: 'content', content: 'inline' } },
        { type: 'search_result', title: 'Found', source: 'https://s', content: [{ type: 'text', text: 'it' }] },
      ] }],
    })['messages']).toEqual([{ role: 'user', content: [
      { type: 'text', text: 'See' },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,AAA' } },
      { type: 'image_url', image_url: { url: 'https://x/y.png' } },
      { type: 'text', text: 'T\n\nwords' },
      { type: 'file', file: { filename: 'document.pdf', file_data: 'data:application/pdf;base64,JVBER' } },
      { type: 'text', text: 'inline' },
      { type: 'text', text: 'Found\nhttps://s\nit' },
    ] }]);
  });

  test('parallel tool calls and their results, errors and pictures included, stand where chat wants them', () => {
    expect(asChat({
      model: 'm', max_tokens: 1, messages: [
        { role: 'assistant', content: [{ type: 'text', text: 'Looking.' }, { type: 'tool_use', id: 'a', name: 'f', input: { x: 1 } }, { type: 'tool_use', id: 'b', name: 'g', input: {} }] },
        { role: 'user', content: [
          { type: 'tool_result', tool_use_id: 'a', content: 'sunny' },
          { type: 'tool_result', tool_use_id: 'b', is_error: true, content: [{ type: 'text', text: 'no disk' }, { type: 'image', source: { type: 'url', url: 'u' } }] },
          { type: 'text', text: 'And now?' },
        ] },
      ],
    })['messages']).toEqual([
      { role: 'assistant', content: 'Looking.', tool_calls: [
        { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } }, { id: 'b', type: 'function', function: { name: 'g', arguments: '{}' } },
      ] },
      { role: 'tool', tool_call_id: 'a', content: 'sunny' },
      { role: 'tool', tool_call_id: 'b', content: 'Error: no disk' },
      { role: 'user', content: [{ type: 'text', text: 'Attached to the result of tool call b:' }, { type: 'image_url', image_url: { url: 'u' } }, { type: 'text', text: 'And now?' }] },
    ]);
  });

  const tool = { name: 'f', description: 'd', input_schema: { type: 'object' as const } };
  test.each([
    [{ type: 'auto' }, 'auto', undefined], [{ type: 'any', disable_parallel_tool_use: true }, 'required', false], [{ type: 'none' }, 'none', undefined],
    [{ type: 'tool', name: 'f' }, { type: 'function', function: { name: 'f' } }, undefined],
  ])('tool choice %j', (choice, expected, parallel) => {
    const chat = asChat({ ...hello, tools: [tool], tool_choice: choice } as JsonObject);
    expect(chat['tools']).toEqual([{ type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object' } } }]);
    expect([chat['tool_choice'], chat['parallel_tool_calls']]).toEqual([expected, parallel]);
    expect(asChat({ ...hello, tool_choice: choice } as JsonObject)['tool_choice']).toBeUndefined();
  });

  test.each([
    [{ thinking: { type: 'enabled', budget_tokens: 16_000 } }, 'high'], [{ thinking: { type: 'enabled', budget_tokens: 5000 } }, 'medium'],
    [{ thinking: { type: 'enabled', budget_tokens: 2048 } }, 'low'], [{ thinking: { type: 'enabled', budget_tokens: 1024 } }, 'minimal'],
    [{ thinking: { type: 'disabled' } }, undefined], [{ thinking: { type: 'adaptive' }, output_config: { effort: 'max' } }, 'max'],
  ])('reasoning of %j', (rest, effort) => {
    expect(asChat({ ...hello, ...rest } as JsonObject)['reasoning_effort']).toBe(effort);
  });

  test('structured output', () => {
    const schema = { type: 'object', properties: { a: { type: 'string' } } };
    expect(asChat({ ...hello, output_config: { format: { type: 'json_schema', schema } } } as JsonObject)['response_format']).toEqual({ type: 'json_schema', json_schema: { name: 'output', schema, strict: true } });
  });

  test.each([
    [{ mcp_servers: [{ url: 'u' }] }, 'mcp_servers'],
    [{ tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, 'tools[0].type'],
    [{ messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'file', file_id: 'f' } }] }] }, 'messages[0].content[0].source.type'],
    [{ messages: [{ role: 'user', content: [{ type: 'text', text: 'x' }, { type: 'document', source: { type: 'url', url: 'u' } }] }] }, 'messages[0].content[1].source.type'],
    [{ messages: [{ role: 'user', content: [{ type: 'container_upload', file_id: 'f' }] }] }, 'messages[0].content[0].type'],
    [{ messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: [{ type: 'odd' }] }] }] }, 'messages[0].content[0].content[0].type'],
    [{ tools: [tool], tool_choice: { type: 'odd' } }, 'tool_choice.type'],
  ])('%j is refused and the field is named', (rest, param) => {
    expect(() => asChat({ ...hello, ...rest } as JsonObject)).toThrow(expect.objectContaining({ kind: 'invalid_request', code: 'unsupported_parameter', param }));
  });

  test('the client\'s body is not changed', () => {
    const body = { ...hello, system: [{ type: 'text', text: 'x' }], tools: [tool] } as JsonObject;
    const before = structuredClone(body);
    messagesToChat(body);
    expect(body).toEqual(before);
  });
});

const usage = { input_tokens: 12, cache_creation_input_tokens: 0, cache_read_input_tokens: 8, output_tokens: 30, output_tokens_details: { thinking_tokens: 12 } };
const everythingContent = [
  { type: 'thinking', thinking: 'Let me look.', signature: '' },
  { type: 'text', text: 'I will check "both".' },
  { type: 'tool_use', id: 'call_a', name: 'weather', input: { city: 'Rome' } },
  { type: 'tool_use', id: 'call_b', name: 'time', input: {} },
];

describe('a chat reply as an Anthropic message', () => {
  const reply = (choice: object): JsonObject => translateToChat('messages', hello, context).reply({ choices: [{ index: 0, ...choice }] } as unknown as JsonObject);

  test('reasoning, text, parallel tool calls and usage', () => {
    expect(translateToChat('messages', hello, context).reply(everythingReply as unknown as JsonObject)).toEqual({
      id: 'msg_0a1b', type: 'message', role: 'assistant', model: 'auto', content: everythingContent, stop_reason: 'tool_use', stop_sequence: null, usage,
    });
  });

  test.each([
    [{ finish_reason: 'stop', message: { content: 'x' } }, 'end_turn', null],
    [{ finish_reason: 'stop', stop_reason: 'END', message: { content: 'x' } }, 'stop_sequence', 'END'],
    [{ finish_reason: 'length', message: { content: 'x' } }, 'max_tokens', null],
    [{ finish_reason: 'content_filter', message: { content: '' } }, 'refusal', null],
    [{ finish_reason: 'stop', message: { content: null, refusal: 'No.' } }, 'refusal', null],
    [{ finish_reason: 'stop', message: { tool_calls: [{ id: 'a', function: { name: 'f', arguments: '{}' } }] } }, 'tool_use', null],
    [{ finish_reason: 'function_call', message: { function_call: { name: 'f', arguments: '{}' } } }, 'tool_use', null],
    [{ finish_reason: null, message: { content: 'x' } }, null, null],
  ])('%j stops with %s', (choice, stopReason, stopSequence) => {
    expect(reply(choice)).toMatchObject({ stop_reason: stopReason, stop_sequence: stopSequence });
  });

  test('arguments that are no JSON object are a bad reply, unless the token limit cut them', () => {
    const message = { tool_calls: [{ id: 'a', function: { name: 'f', arguments: '{"a":' } }] };
    expect(() => reply({ finish_reason: 'tool_calls', message })).toThrow(expect.objectContaining({ kind: 'upstream_failed', code: 'provider_bad_reply' }));
    expect(reply({ finish_reason: 'length', message })).toMatchObject({ stop_reason: 'max_tokens', content: [{ type: 'tool_use', input: {} }] });
  });

  test('what is not a chat reply is a bad reply', () => {
    expect(() => translateToChat('messages', hello, context).reply({ choices: [] })).toThrow(expect.objectContaining({ code: 'provider_bad_reply' }));
  });
});

describe('a chat stream as Anthropic events', () => {
  test('the exact events of reasoning, text, two tool calls and usage', () => {
    expect(translated(everythingStream).map(({ data }) => JSON.parse(data) as unknown)).toEqual([
      { type: 'message_start', message: { id: 'msg_0a1b', type: 'message', role: 'assistant', model: 'auto', content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 0 } } },
      { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Let me ' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'look.' } },
      { type: 'content_block_stop', index: 0 },
      { type: 'content_block_start', index: 1, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: 'I will ' } },
      { type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: 'check "both".' } },
      { type: 'content_block_stop', index: 1 },
      { type: 'content_block_start', index: 2, content_block: { type: 'tool_use', id: 'call_a', name: 'weather', input: {} } },
      { type: 'content_block_delta', index: 2, delta: { type: 'input_json_delta', partial_json: '{"city":' } },
      { type: 'content_block_delta', index: 2, delta: { type: 'input_json_delta', partial_json: '"Rome"}' } },
      { type: 'content_block_stop', index: 2 },
      { type: 'content_block_start', index: 3, content_block: { type: 'tool_use', id: 'call_b', name: 'time', input: {} } },
      { type: 'content_block_delta', index: 3, delta: { type: 'input_json_delta', partial_json: '{}' } },
      { type: 'content_block_stop', index: 3 },
      { type: 'message_delta', delta: { stop_reason: 'tool_use', stop_sequence: null }, usage },
      { type: 'message_stop' },
    ]);
  });

  test('every event is named as its type', () => {
    for (const event of translated(everythingStream)) expect(event.event).toBe((JSON.parse(event.data) as { type: string }).type);
  });

  test("Anthropic's own SDK reads the stream into the same message as the whole reply", async () => {
    const sdk = sdkFor(() => new Response(formatSse(translated(everythingStream)), { headers: { 'content-type': 'text/event-stream' } }));
    const message = await sdk.messages.stream({ model: 'auto', max_tokens: 10, messages: [{ role: 'user', content: 'hi' }] }).finalMessage();
    expect(message.content).toMatchObject(everythingContent);
    expect(message.stop_reason).toBe('tool_use');
    expect(message.usage).toMatchObject(usage);
  });

  test('every cut of the chat stream ends in one error event, which the SDK throws, never in a stop', async () => {
    for (let cut = 0; cut < everythingStream.length - 2; cut += 1) {
      const events = translated(everythingStream.slice(0, cut));
      expect(events.at(-1)?.event, `cut at ${cut}`).toBe('error');
      expect(events.filter(({ event }) => event === 'message_stop' || event === 'message_delta' || event === 'error')).toHaveLength(1);
    }
    const sdk = sdkFor(() => new Response(formatSse(translated(everythingStream.slice(0, 5))), { headers: { 'content-type': 'text/event-stream' } }));
    await expect(sdk.messages.stream({ model: 'auto', max_tokens: 10, messages: [{ role: 'user', content: 'hi' }] }).finalMessage()).rejects.toThrow(/ended before the reply was complete/);
  });

  test('fail says why, quotes the request id, and nothing follows it', () => {
    const stream = translateToChat('messages', hello, { ...context, requestId: 'req-9' }).stream();
    stream.push(chatChunk({ content: 'Hal' }));
    expect(stream.fail(new AppError('unavailable', 'provider_overloaded', 'Too busy.')).map(({ data }) => JSON.parse(data) as unknown))
      .toEqual([{ type: 'error', error: { type: 'overloaded_error', message: 'Too busy.' }, request_id: 'req-9' }]);
    expect([...stream.push(chatChunk({ content: 'x' })), ...stream.finish(), ...stream.fail(new AppError('internal', 'x', 'y'))]).toEqual([]);
  });

  test('a reply of nothing but a finish reason is a message without content', () => {
    expect(translated([chatChunk({ role: 'assistant' }), chatChunk({}, 'length')]).map(({ event }) => event)).toEqual(['message_start', 'message_delta', 'message_stop']);
  });

  const starts = (events: readonly SseEvent[]): unknown[] =>
    events.filter(({ event }) => event === 'content_block_start').map(({ data }) => (JSON.parse(data) as { content_block: unknown }).content_block);

  test('parallel calls that share index 0 are told apart by id; a call without an id gets one', () => {
    const call = (rest: object): object => chatChunk({ tool_calls: [rest] });
    expect(starts(translated([call({ index: 0, id: 'x', function: { name: 'f', arguments: '{}' } }), call({ index: 0, id: 'y', function: { name: 'g', arguments: '{}' } }), chatChunk({}, 'tool_calls')])))
      .toEqual([{ type: 'tool_use', id: 'x', name: 'f', input: {} }, { type: 'tool_use', id: 'y', name: 'g', input: {} }]);
    expect(starts(translated([call({ index: 0, function: { name: 'f', arguments: { a: 1 } } }), chatChunk({}, 'stop')]))).toEqual([{ type: 'tool_use', id: 'call_0a1b_0', name: 'f', input: {} }]);
  });

  test('pieces of several calls mixed up are refused rather than told wrong', () => {
    const stream = translateToChat('messages', hello, context).stream();
    stream.push(chatChunk({ tool_calls: [{ index: 0, id: 'a', function: { name: 'f', arguments: '{' } }, { index: 1, id: 'b', function: { name: 'g', arguments: '{' } }] }));
    expect(() => stream.push(chatChunk({ tool_calls: [{ index: 0, function: { arguments: '}' } }] }))).toThrow(expect.objectContaining({ code: 'provider_bad_reply' }));
  });

  test('an inspector finds the produced stream complete, with the usage of the provider', () => {
    const inspector = createStreamInspector('messages');
    for (const { event, data } of translated([chatChunk({ content: 'Hi' }), chatChunk({}, 'stop'), usageChunk])) expect(inspector.inspect({ event, data }).malformed).toBe(false);
    expect(inspector.isComplete()).toBe(true);
    expect(inspector.usage()).toMatchObject({ promptTokens: 20, completionTokens: 30, cachedTokens: 8, reasoningTokens: 12 });
  });

  test('signatures of reasoning reach the client', () => {
    const events = translated([chatChunk({ reasoning_content: 'hm', thinking_blocks: [{ type: 'thinking', thinking: 'hm' }] }), chatChunk({ thinking_blocks: [{ type: 'thinking', thinking: '', signature: 'sig' }] }), chatChunk({ content: 'x' }, 'stop')]);
    expect(events.map(({ data }) => (JSON.parse(data) as { delta?: unknown }).delta).filter((delta) => delta !== undefined).slice(0, 3)).toEqual([
      { type: 'thinking_delta', thinking: 'hm' }, { type: 'signature_delta', signature: 'sig' }, { type: 'text_delta', text: 'x' },
    ]);
  });
});
