import { AppError } from '@pointsman/errors';
import type { JsonObject } from '@pointsman/schemas';
import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { chatChunk, everythingReply, everythingStream, usageChunk } from '../chat/__fixtures__/chat-stream.ts';
import { formatSse } from '../format-sse.ts';
import type { SseEvent } from '../sse.ts';
import { createStreamInspector } from '../stream-inspector.ts';
import { translateToChat } from '../translate-to-chat.ts';
import { responsesToChat } from './to-chat-request.ts';

const context = { id: '0a1b', createdAt: 1_700_000_000, model: 'auto' };
const hello: JsonObject = { model: 'auto', input: 'hi' };
const usage = { input_tokens: 20, input_tokens_details: { cached_tokens: 8, cache_write_tokens: 0 }, output_tokens: 30, output_tokens_details: { reasoning_tokens: 12 }, total_tokens: 50 };

type Told = { type: string; sequence_number: number; [key: string]: unknown };
const told = (events: readonly SseEvent[]): Told[] => events.map(({ data }) => JSON.parse(data) as Told);

function translated(chunks: readonly object[], body: JsonObject = hello): SseEvent[] {
  const stream = translateToChat('responses', body, context).stream();
  return [...chunks.flatMap((chunk) => stream.push(chunk)), ...stream.finish()];
}

describe('a Responses request as a chat request', () => {
  test('instructions, text, tools, schema, reasoning and sampling', () => {
    const schema = { type: 'object', properties: {} };
    expect(responsesToChat({
      model: 'm', instructions: 'Be brief.', input: 'hi', stream: true, temperature: 0.1, top_p: 0.5, max_output_tokens: 9, user: 'u', store: true, metadata: { a: 'b' },
      tools: [{ type: 'function', name: 'f', description: 'd', parameters: schema, strict: true }], tool_choice: { type: 'function', name: 'f' }, parallel_tool_calls: false,
      text: { format: { type: 'json_schema', name: 'n', schema, strict: true }, verbosity: 'low' }, reasoning: { effort: 'high', summary: 'auto' },
    })).toEqual({
      model: 'm', messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'hi' }], stream: true, stream_options: { include_usage: true },
      temperature: 0.1, top_p: 0.5, max_tokens: 9, user: 'u', parallel_tool_calls: false, verbosity: 'low', reasoning_effort: 'high',
      tools: [{ type: 'function', function: { name: 'f', description: 'd', parameters: schema, strict: true } }], tool_choice: { type: 'function', function: { name: 'f' } },
      response_format: { type: 'json_schema', json_schema: { name: 'n', schema, strict: true } },
    });
  });

  test('items become turns: reasoning, text and parallel calls are one turn of the assistant', () => {
    const input: JsonObject['input'] = [
      { role: 'developer', content: 'Rules.' },
      { role: 'user', content: [{ type: 'input_text', text: 'See' }, { type: 'input_image', image_url: 'u', detail: 'low' }, { type: 'input_file', file_data: 'data:x', filename: 'a.pdf' }] },
      { type: 'reasoning', id: 'rs', summary: [{ type: 'summary_text', text: 'hm' }] },
      { type: 'message', role: 'assistant', id: 'msg', status: 'completed', content: [{ type: 'output_text', text: 'Looking.', annotations: [] }] },
      { type: 'function_call', call_id: 'a', name: 'f', arguments: '{"x":1}' },
      { type: 'function_call', call_id: 'b', name: 'g', arguments: '{}' },
      { type: 'function_call_output', call_id: 'a', output: 'sunny' },
      { type: 'function_call_output', call_id: 'b', output: [{ type: 'input_text', text: 'map' }, { type: 'input_image', image_url: 'v' }] },
      { type: 'message', role: 'user', content: 'And?' },
    ];
    const expected = [
      { role: 'system', content: 'Rules.' },
      { role: 'user', content: [{ type: 'text', text: 'See' }, { type: 'image_url', image_url: { url: 'u', detail: 'low' } }, { type: 'file', file: { filename: 'a.pdf', file_data: 'data:x' } }] },
      { role: 'assistant', content: 'Looking.', tool_calls: [
        { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } }, { id: 'b', type: 'function', function: { name: 'g', arguments: '{}' } },
      ] },
      { role: 'tool', tool_call_id: 'a', content: 'sunny' },
      { role: 'tool', tool_call_id: 'b', content: 'map' },
      { role: 'user', content: [{ type: 'text', text: 'Attached to the result of tool call b:' }, { type: 'image_url', image_url: { url: 'v' } }] },
      { role: 'user', content: 'And?' },
    ];
    expect(responsesToChat({ model: 'm', input })['messages']).toEqual(expected);
    expect(responsesToChat({ model: 'm', input }, new Set(['reasoning'] as const))['messages']).toEqual(expected.map((message) => (message.role === 'assistant' ? { ...message, reasoning_content: 'hm' } : message)));
  });

  test('calls made one after the other, each with its result, are turns of their own', () => {
    const call = (id: string): JsonObject => ({ type: 'function_call', call_id: id, name: 'f', arguments: '{}' });
    const output = (id: string): JsonObject => ({ type: 'function_call_output', call_id: id, output: id });
    const turn = (id: string): object[] => [
      { role: 'assistant', content: null, tool_calls: [{ id, type: 'function', function: { name: 'f', arguments: '{}' } }] }, { role: 'tool', tool_call_id: id, content: id },
    ];
    expect(responsesToChat({ model: 'm', input: [call('a'), output('a'), call('b'), output('b')] })['messages']).toEqual([...turn('a'), ...turn('b')]);
  });

  test.each([
    [{ previous_response_id: 'resp_1' }, 'previous_response_id'],
    [{ conversation: 'conv_1' }, 'conversation'],
    [{ prompt: { id: 'p' } }, 'prompt'],
    [{ background: true }, 'background'],
    [{ tools: [{ type: 'function', name: 'f' }, { type: 'web_search' }] }, 'tools[1].type'],
    [{ tools: [{ type: 'function', name: 'f' }], tool_choice: { type: 'mcp' } }, 'tool_choice'],
    [{ input: [{ type: 'item_reference', id: 'x' }] }, 'input[0].type'],
    [{ input: [{ role: 'user', content: [{ type: 'input_image', file_id: 'f' }] }] }, 'input[0].content[0].file_id'],
    [{ input: [{ role: 'user', content: [{ type: 'input_file', file_url: 'f' }] }] }, 'input[0].content[0].file_url'],
    [{ input: [{ role: 'narrator', content: 'x' }] }, 'input[0].role'],
    [{ text: { format: { type: 'grammar' } } }, 'text.format.type'],
    [{ top_logprobs: 3 }, 'top_logprobs'],
  ])('%j is refused and the field is named', (rest, param) => {
    expect(() => responsesToChat({ ...hello, ...rest } as JsonObject)).toThrow(expect.objectContaining({ kind: 'invalid_request', code: 'unsupported_parameter', param }));
  });
});

const item = {
  reasoning: { id: 'rs_0a1b_0', type: 'reasoning', summary: [{ type: 'summary_text', text: 'Let me look.' }] },
  message: { id: 'msg_0a1b_1', type: 'message', status: 'completed', role: 'assistant', content: [{ type: 'output_text', text: 'I will check "both".', annotations: [], logprobs: [] }] },
  weather: { id: 'fc_0a1b_2', type: 'function_call', status: 'completed', call_id: 'call_a', name: 'weather', arguments: '{"city":"Rome"}' },
  time: { id: 'fc_0a1b_3', type: 'function_call', status: 'completed', call_id: 'call_b', name: 'time', arguments: '{}' },
};
const everythingOutput = [item.reasoning, item.message, item.weather, item.time];

describe('a chat reply as a Response', () => {
  test('reasoning, text, parallel calls and usage, with the request told back', () => {
    const body: JsonObject = { ...hello, instructions: 'I', metadata: { a: 'b' }, store: true, temperature: 0, user: 'u', reasoning: { effort: 'low' }, tools: [{ type: 'function', name: 'weather' }] };
    expect(translateToChat('responses', body, context).reply(everythingReply as unknown as JsonObject)).toEqual({
      id: 'resp_0a1b', object: 'response', created_at: 1_700_000_000, status: 'completed', background: false, error: null, incomplete_details: null, instructions: 'I',
      max_output_tokens: null, metadata: { a: 'b' }, model: 'auto', output: everythingOutput, parallel_tool_calls: true, previous_response_id: null,
      reasoning: { effort: 'low', summary: null }, store: false, temperature: 0, text: { format: { type: 'text' } }, tool_choice: 'auto',
      tools: [{ type: 'function', name: 'weather' }], top_p: 1, truncation: 'disabled', usage, user: 'u',
    });
  });

  const reply = (choice: object): JsonObject => translateToChat('responses', hello, context).reply({ choices: [choice] } as unknown as JsonObject);

  test.each([['length', 'max_output_tokens'], ['content_filter', 'content_filter']])('%s is incomplete because of %s', (finish, reason) => {
    expect(reply({ finish_reason: finish, message: { content: 'x' } })).toMatchObject({ status: 'incomplete', incomplete_details: { reason }, output: [{ status: 'incomplete' }] });
  });

  test('a refusal is a part of its own; a reply without a reason to stop is a bad reply', () => {
    expect(reply({ finish_reason: 'stop', message: { content: null, refusal: 'No.' } })['output']).toMatchObject([{ content: [{ type: 'refusal', refusal: 'No.' }] }]);
    expect(() => reply({ message: { content: 'x' } })).toThrow(expect.objectContaining({ code: 'provider_bad_reply' }));
    expect(() => reply({ finish_reason: 'stop' })).toThrow(expect.objectContaining({ code: 'provider_bad_reply' }));
  });
});

describe('a chat stream as Responses events', () => {
  const events = told(translated(everythingStream));

  test('come in the documented order, numbered from 0', () => {
    expect(events.map(({ type }) => type)).toEqual([
      'response.created', 'response.in_progress',
      'response.output_item.added', 'response.reasoning_summary_part.added', 'response.reasoning_summary_text.delta', 'response.reasoning_summary_text.delta',
      'response.reasoning_summary_text.done', 'response.reasoning_summary_part.done', 'response.output_item.done',
      'response.output_item.added', 'response.content_part.added', 'response.output_text.delta', 'response.output_text.delta',
      'response.output_text.done', 'response.content_part.done', 'response.output_item.done',
      'response.output_item.added', 'response.function_call_arguments.delta', 'response.function_call_arguments.delta', 'response.function_call_arguments.done', 'response.output_item.done',
      'response.output_item.added', 'response.function_call_arguments.delta', 'response.function_call_arguments.done', 'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map(({ sequence_number: number }) => number)).toEqual(events.map((_, index) => index));
  });

  test('name their item and its place', () => {
    expect(events[2]).toEqual({ type: 'response.output_item.added', output_index: 0, item: { id: 'rs_0a1b_0', type: 'reasoning', summary: [] }, sequence_number: 2 });
    expect(events[9]).toMatchObject({ output_index: 1, item: { id: 'msg_0a1b_1', type: 'message', status: 'in_progress', role: 'assistant', content: [] } });
    expect(events[10]).toMatchObject({ item_id: 'msg_0a1b_1', output_index: 1, content_index: 0, part: { type: 'output_text', text: '', annotations: [], logprobs: [] } });
    expect(events[11]).toEqual({ type: 'response.output_text.delta', item_id: 'msg_0a1b_1', output_index: 1, content_index: 0, delta: 'I will ', logprobs: [], sequence_number: 11 });
    expect(events[13]).toMatchObject({ item_id: 'msg_0a1b_1', text: 'I will check "both".' });
    expect(events[16]).toMatchObject({ output_index: 2, item: { ...item.weather, status: 'in_progress', arguments: '' } });
    expect(events[19]).toMatchObject({ item_id: 'fc_0a1b_2', output_index: 2, name: 'weather', arguments: '{"city":"Rome"}' });
    expect(events.filter(({ type }) => type === 'response.output_item.done').map((event) => event['item'])).toEqual(everythingOutput);
    expect(events.at(-1)?.['response']).toMatchObject({ status: 'completed', output: everythingOutput, usage });
    expect(events[0]?.['response']).toMatchObject({ status: 'in_progress', output: [], usage: null });
  });

  test("OpenAI's own SDK reads the stream into the same response as the whole reply", async () => {
    const sdk = new OpenAI({ apiKey: 'sk-test', maxRetries: 0, fetch: () => Promise.resolve(new Response(formatSse(translated(everythingStream)), { headers: { 'content-type': 'text/event-stream' } })) });
    const response = await sdk.responses.stream({ model: 'auto', input: 'hi' }).finalResponse();
    expect(response.output_text).toBe('I will check "both".');
    expect(response.output).toMatchObject(everythingOutput);
    expect(response.usage).toMatchObject(usage);
  });

  test('a refusal after text is a second part of the same message', () => {
    const said = told(translated([chatChunk({ content: 'Well' }), chatChunk({ refusal: 'No.' }), chatChunk({}, 'stop')]));
    expect(said.map(({ type }) => type).slice(2)).toEqual([
      'response.output_item.added', 'response.content_part.added', 'response.output_text.delta', 'response.output_text.done', 'response.content_part.done',
      'response.content_part.added', 'response.refusal.delta', 'response.refusal.done', 'response.content_part.done', 'response.output_item.done', 'response.completed',
    ]);
    expect(said.at(-2)?.['item']).toMatchObject({ content: [{ type: 'output_text', text: 'Well' }, { type: 'refusal', refusal: 'No.' }] });
  });

  test('the token limit makes it incomplete', () => {
    const last = told(translated([chatChunk({ content: 'x' }), chatChunk({}, 'length'), usageChunk])).at(-1);
    expect(last).toMatchObject({ type: 'response.incomplete', response: { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' }, output: [{ status: 'incomplete' }], usage } });
  });

  test('every cut of the chat stream ends in response.failed with what was said so far, never in completed', () => {
    for (let cut = 1; cut < everythingStream.length - 2; cut += 1) {
      const all = told(translated(everythingStream.slice(0, cut)));
      expect(all.map(({ type }) => type).filter((type) => /^response\.(completed|incomplete|failed)$|^error$/.test(type)), `cut at ${cut}`).toEqual(['response.failed']);
      expect(all.map(({ sequence_number: number }) => number)).toEqual(all.map((_, index) => index));
    }
    const failed = told(translated(everythingStream.slice(0, 5))).at(-1);
    expect(failed).toMatchObject({ response: { status: 'failed', error: { code: 'server_error' }, output: [item.reasoning, { ...item.message, status: 'incomplete' }] } });
  });

  test('a failure before anything was created is the bare error event; after the end nothing follows', () => {
    const stream = translateToChat('responses', hello, context).stream();
    expect(told(stream.fail(new AppError('rate_limited', 'slow_down', 'Slow.')))).toEqual([{ type: 'error', code: 'slow_down', message: 'Slow.', param: null, sequence_number: 0 }]);
    expect([...stream.push(chatChunk({ content: 'x' })), ...stream.finish(), ...stream.fail(new AppError('internal', 'x', 'y'))]).toEqual([]);
  });

  test('an inspector finds the produced stream complete', () => {
    const inspector = createStreamInspector('responses', { collectText: true });
    for (const { event, data } of translated([chatChunk({ content: 'Hi' }), chatChunk({}, 'stop'), usageChunk])) expect(inspector.inspect({ event, data }).malformed).toBe(false);
    expect(inspector.isComplete()).toBe(true);
    expect(inspector.collectedText()).toBe('Hi');
    expect(inspector.usage()).toMatchObject({ promptTokens: 20, completionTokens: 30, cachedTokens: 8, reasoningTokens: 12 });
  });
});
