import { describe, expect, test } from 'vitest';
import { dataEvent, DONE_EVENT, typedEvent } from './format-sse.ts';
import type { SseEvent } from './sse.ts';
import { createStreamInspector, type StreamInspectorOptions } from './stream-inspector.ts';
import { usageOfReply } from './usage.ts';

/** As the parser delivers it: without a value. */
const wire = (value: object): SseEvent => ({ event: 'type' in value ? String(value.type) : '', data: JSON.stringify(value) });
const chunk = (delta: object, rest: object = {}, top: object = {}): SseEvent =>
  ({ event: '', data: JSON.stringify({ id: 'c1', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, logprobs: null, finish_reason: null, ...rest }], ...top }) });
const chat = (options?: StreamInspectorOptions): ReturnType<typeof createStreamInspector> => createStreamInspector('chat', options);
const noUsage = { promptTokens: 0, completionTokens: 0, totalTokens: 0, cachedTokens: 0, cacheCreationTokens: 0, cacheCreation1hTokens: 0, reasoningTokens: 0, audioInputTokens: 0, audioOutputTokens: 0 };

describe('chat', () => {
  test.each([
    ['role only', { role: 'assistant', content: '' }, false],
    ['null content', { content: null }, false],
    ['text', { content: 'Hi' }, true],
    ['reasoning_content', { reasoning_content: 'hm' }, true],
    ['reasoning', { reasoning: 'hm' }, true],
    ['empty reasoning', { reasoning: '', reasoning_details: [] }, false],
    ['a tool call', { tool_calls: [{ index: 0, id: 't', function: { name: 'f', arguments: '' } }] }, true],
    ['no tool calls', { tool_calls: [] }, false],
    ['a refusal', { refusal: 'No.' }, true],
    ['null refusal', { refusal: null }, false],
    ['content parts', { content: [{ type: 'thinking', thinking: [] }] }, true],
    ['audio', { audio: { id: 'a', data: 'AA' } }, true],
  ])('%s: content is %#', (_name, delta, hasContent) => {
    expect(chat().inspect(chunk(delta)).hasContent).toBe(hasContent);
  });

  test('a finish reason completes its choice; with n choices every one has to finish', () => {
    const inspector = chat({ choices: 2 });
    expect(inspector.inspect(chunk({}, { finish_reason: 'length' })).finishReason).toBe('length');
    expect(inspector.isComplete()).toBe(false);
    inspector.inspect(chunk({}, { index: 1, finish_reason: 'stop' }));
    expect(inspector.isComplete()).toBe(true);
  });

  test('a choice that appeared unasked has to finish too', () => {
    const inspector = chat();
    inspector.inspect(chunk({ content: 'b' }, { index: 1 }));
    inspector.inspect(chunk({}, { finish_reason: 'stop' }));
    expect(inspector.isComplete()).toBe(false);
  });

  test('[DONE] is terminal and completes nothing by itself', () => {
    const inspector = chat();
    const facts = inspector.inspect(DONE_EVENT);
    expect(facts).toMatchObject({ isTerminal: true, malformed: false, value: undefined });
    expect(inspector.isComplete()).toBe(false);
  });

  test.each(['', '{"a":', 'null', '[]', '"text"', '7', '{}', '{"choices":{}}', '{"choices":[null]}', '{"choices":["x"]}', '<html>'])('%j is malformed', (data) => {
    const facts = chat().inspect({ event: '', data });
    expect(facts.malformed).toBe(true);
    expect(facts.hasContent).toBe(false);
  });

  test('usage without choices is usage only; usage beside a choice is not', () => {
    const usage = { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13, prompt_tokens_details: { cached_tokens: 5, audio_tokens: 1 }, completion_tokens_details: { reasoning_tokens: 2, audio_tokens: 0 } };
    const inspector = chat();
    const facts = inspector.inspect(wire({ choices: [], usage }));
    expect(facts.isUsageOnly).toBe(true);
    expect(facts.usage).toEqual({ ...noUsage, promptTokens: 9, completionTokens: 4, totalTokens: 13, cachedTokens: 5, audioInputTokens: 1, reasoningTokens: 2 });
    expect(inspector.usage()).toEqual(facts.usage);
    expect(chat().inspect(chunk({}, { finish_reason: 'stop' }, { usage })).isUsageOnly).toBe(false);
    expect(chat().inspect(wire({ choices: [] })).isUsageOnly).toBe(false);
    expect(chat().inspect(chunk({ content: 'x' }, {}, { usage: null })).usage).toBeUndefined();
    expect(chat().inspect(wire({ choices: [], x_groq: { usage } })).usage?.promptTokens).toBe(9);
  });

  test.each([
    [{ error: { message: 'boom', type: 'server_error', code: 'x', param: 'p' } }, { message: 'boom', type: 'server_error', code: 'x', param: 'p', status: 500 }],
    [{ error: { message: 'slow', code: 429 } }, { message: 'slow', type: undefined, code: '429', param: undefined, status: 429 }],
    [{ error: 'plain words' }, { message: 'plain words', type: undefined, code: undefined, param: undefined, status: undefined }],
    [{ object: 'error', message: 'old vLLM', type: 'BadRequestError', code: 400 }, { message: 'old vLLM', type: 'BadRequestError', code: '400', param: undefined, status: 400 }],
    [{ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }, { message: 'Overloaded', type: 'overloaded_error', code: undefined, param: undefined, status: 529 }],
  ])('%j is an error in the stream', (body, error) => {
    const facts = chat().inspect({ event: '', data: JSON.stringify(body) });
    expect(facts.error).toEqual(error);
    expect(facts.malformed).toBe(false);
  });

  test('an event named error is one, whatever its data say; error: null is none', () => {
    expect(chat().inspect({ event: 'error', data: '{"detail":"gone"}' }).error?.message).toBe('gone');
    expect(chat().inspect(chunk({ content: 'x' }, {}, { error: null })).error).toBeUndefined();
  });

  test('collects the text of choice 0 and says when text is not all', () => {
    const inspector = chat({ collectText: true });
    for (const content of ['He', 'll', 'o "q" \\ \n 😀', ' end']) inspector.inspect(chunk({ content }));
    expect(inspector.collectedText()).toBe('Hello "q" \\ \n 😀 end');
    expect(inspector.canContinue()).toBe(true);
    inspector.inspect(chunk({ tool_calls: [{ index: 0 }] }));
    expect(inspector.canContinue()).toBe(false);
    expect(chat().collectedText()).toBe('');
    expect(chat().canContinue()).toBe(false);
  });

  test('stops collecting at one million characters rather than continue from half a text', () => {
    const inspector = chat({ collectText: true });
    for (let index = 0; index < 3; index += 1) inspector.inspect(chunk({ content: 'x'.repeat(500_000) }));
    expect(inspector.collectedText().length).toBeLessThanOrEqual(1024 * 1024);
    expect(inspector.canContinue()).toBe(false);
  });

  test('takes a value that the producer has parsed already', () => {
    const facts = chat().inspect({ ...dataEvent({ choices: [{ index: 0, delta: { content: 'x' } }] }), data: 'unread' });
    expect(facts.hasContent).toBe(true);
  });
});

describe('the shortcut for plain text frames', () => {
  const contents = ['Hi', '', 'a"b', 'tab\t', 'back\\slash', '😀', '\u0001', ' the', '"content":"x"', '{"finish_reason":"stop"}', 'é', '\ud800'];
  const frames = (padding: boolean): SseEvent[] => contents.map((content, index) => chunk({ content }, {}, padding ? { obfuscation: 'x'.repeat(index + 1) } : {}));

  test.each([false, true])('says the same as a fresh inspector about every frame (padding: %s)', (padding) => {
    const inspector = chat({ collectText: true });
    for (const event of [...frames(padding), ...frames(padding)]) {
      const { value, hasContent, malformed, finishReason, isUsageOnly, error, usage, isTerminal } = inspector.inspect(event);
      const fresh = chat().inspect(event);
      expect({ value, hasContent, malformed, finishReason, isUsageOnly, error, usage, isTerminal }).toEqual({
        value: fresh.value, hasContent: fresh.hasContent, malformed: false, finishReason: undefined, isUsageOnly: false, error: undefined, usage: undefined, isTerminal: false,
      });
    }
    expect(inspector.collectedText()).toBe(contents.join('') + contents.join(''));
  });

  test('a learnt frame, cut or damaged at any byte, is judged as parsing judges it', () => {
    const good = chunk({ content: 'Hello wörld \\ "' }, {}, { obfuscation: 'abc' }).data;
    const damaged: string[] = [`${good}x`, `${good}}`, good + good, `${good} `];
    for (let at = 0; at < good.length; at += 1) {
      damaged.push(good.slice(0, at), good.slice(0, at) + good.slice(at + 1), `${good.slice(0, at)}"${good.slice(at)}`, `${good.slice(0, at)}\\${good.slice(at)}`, `${good.slice(0, at)}\n${good.slice(at)}`);
    }
    for (const data of damaged) {
      const inspector = chat();
      inspector.inspect(chunk({ content: 'first' }, {}, { obfuscation: 'a' }));
      const facts = inspector.inspect({ event: '', data });
      const fresh = chat().inspect({ event: '', data });
      expect([facts.malformed, facts.hasContent, facts.finishReason, facts.value], data).toEqual([fresh.malformed, fresh.hasContent, fresh.finishReason, fresh.value]);
    }
  });

  test('frames of another choice are never taken for text of the first', () => {
    const inspector = chat({ collectText: true });
    for (const content of ['a', 'b', 'c']) expect(inspector.inspect(chunk({ content }, { index: 1 })).hasContent).toBe(true);
    expect(inspector.inspect(chunk({ content: '' }, { index: 1 })).hasContent).toBe(false);
    expect(inspector.collectedText()).toBe('');
    expect(inspector.canContinue()).toBe(false);
  });

  test('a finish reason after many text frames is seen', () => {
    const inspector = chat();
    for (let index = 0; index < 20; index += 1) inspector.inspect(chunk({ content: 'x' }));
    expect(inspector.inspect(chunk({ content: 'x' }, { finish_reason: 'stop' })).finishReason).toBe('stop');
    expect(inspector.inspect(chunk({ content: 'x' }, { index: 3 })).hasContent).toBe(true);
    expect(inspector.isComplete()).toBe(false);
  });

  test('text that was found under another key is not mistaken for the content', () => {
    const inspector = chat({ collectText: true });
    const frame = (note: string, content: string): SseEvent => ({ event: '', data: JSON.stringify({ note: { content: note }, choices: [{ index: 0, delta: { content } }] }) });
    inspector.inspect(frame('n1', 'a'));
    inspector.inspect(frame('n2', 'a'));
    expect(inspector.inspect(frame('n3', '')).hasContent).toBe(false);
    expect(inspector.collectedText()).toBe('aa');
  });
});

describe('completions', () => {
  test('text is content, and the finish reason completes', () => {
    const inspector = createStreamInspector('completions', { collectText: true });
    const frame = (text: string, finish: string | null): SseEvent => wire({ object: 'text_completion', choices: [{ text, index: 0, logprobs: null, finish_reason: finish }] });
    expect(inspector.inspect(frame('', null)).hasContent).toBe(false);
    expect(inspector.inspect(frame('a', null)).hasContent).toBe(true);
    expect(inspector.inspect(frame('b', null)).hasContent).toBe(true);
    expect(inspector.inspect(frame('', 'stop')).finishReason).toBe('stop');
    expect(inspector.isComplete()).toBe(true);
    expect(inspector.collectedText()).toBe('ab');
  });
});

describe('messages', () => {
  const start = wire({ type: 'message_start', message: { id: 'm', role: 'assistant', content: [], usage: { input_tokens: 10, cache_read_input_tokens: 100, cache_creation_input_tokens: 20, cache_creation: { ephemeral_1h_input_tokens: 7 }, output_tokens: 1 } } });
  const text = (words: string): SseEvent => wire({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: words } });

  test('merges the usage of message_start and message_delta; the prompt holds the cached tokens', () => {
    const inspector = createStreamInspector('messages', { collectText: true });
    expect(inspector.inspect(start).usage?.promptTokens).toBe(130);
    expect(inspector.inspect(wire({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } })).hasContent).toBe(false);
    expect(inspector.inspect(text('Hi')).hasContent).toBe(true);
    expect(inspector.inspect(text(' you')).hasContent).toBe(true);
    expect(inspector.isComplete()).toBe(false);
    const facts = inspector.inspect(wire({ type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 15 } }));
    expect(facts.finishReason).toBe('end_turn');
    expect(facts.usage).toEqual({ ...noUsage, promptTokens: 130, completionTokens: 15, totalTokens: 145, cachedTokens: 100, cacheCreationTokens: 20, cacheCreation1hTokens: 7 });
    expect(inspector.inspect(wire({ type: 'message_stop' })).isTerminal).toBe(true);
    expect(inspector.isComplete()).toBe(true);
    expect(inspector.collectedText()).toBe('Hi you');
  });

  test.each([
    [{ type: 'content_block_start', index: 0, content_block: { type: 'tool_use', id: 't', name: 'f', input: {} } }, true],
    [{ type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '' } }, false],
    [{ type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'hm' } }, true],
    [{ type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: '{' } }, true],
    [{ type: 'ping' }, false],
    [{ type: 'content_block_stop', index: 0 }, false],
    [{ type: 'something_new', x: 1 }, false],
  ])('%j: content is %s', (value, hasContent) => {
    const facts = createStreamInspector('messages').inspect(wire(value));
    expect(facts.hasContent).toBe(hasContent);
    expect(facts.malformed).toBe(false);
  });

  test('an error event carries its status', () => {
    const facts = createStreamInspector('messages').inspect(wire({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }));
    expect(facts.error).toMatchObject({ message: 'Overloaded', type: 'overloaded_error', status: 529 });
  });

  test.each(['{}', '{"type":7}', '{', '{"type":"message_start"}', '{"type":"content_block_delta","index":0}', '{"type":"content_block_start"}'])('%s is malformed', (data) => {
    expect(createStreamInspector('messages').inspect({ event: '', data }).malformed).toBe(true);
  });
});

describe('responses', () => {
  const ended = (type: string, response: object): SseEvent => wire({ type, sequence_number: 9, response });

  test('a whole stream', () => {
    const inspector = createStreamInspector('responses', { collectText: true });
    expect(inspector.inspect(ended('response.created', { id: 'r' })).hasContent).toBe(false);
    expect(inspector.inspect(wire({ type: 'response.output_item.added', output_index: 0, item: { type: 'message' } })).hasContent).toBe(false);
    expect(inspector.inspect(wire({ type: 'response.output_text.delta', output_index: 0, delta: 'Hi' })).hasContent).toBe(true);
    const facts = inspector.inspect(ended('response.completed', { usage: { input_tokens: 3, output_tokens: 4, total_tokens: 7, input_tokens_details: { cached_tokens: 1 }, output_tokens_details: { reasoning_tokens: 2 } } }));
    expect(facts).toMatchObject({ isTerminal: true, finishReason: 'completed', error: undefined });
    expect(facts.usage).toEqual({ ...noUsage, promptTokens: 3, completionTokens: 4, totalTokens: 7, cachedTokens: 1, reasoningTokens: 2 });
    expect(inspector.isComplete()).toBe(true);
    expect(inspector.collectedText()).toBe('Hi');
    expect(inspector.canContinue()).toBe(true);
  });

  test('incomplete is an end with a reason, failed an end with an error', () => {
    const incomplete = createStreamInspector('responses');
    expect(incomplete.inspect(ended('response.incomplete', { incomplete_details: { reason: 'max_output_tokens' } })).finishReason).toBe('max_output_tokens');
    expect(incomplete.isComplete()).toBe(true);
    const failed = createStreamInspector('responses');
    expect(failed.inspect(ended('response.failed', { error: { code: 'server_error', message: 'boom' } }))).toMatchObject({ isTerminal: true, error: { message: 'boom', code: 'server_error', status: 500 } });
    expect(failed.isComplete()).toBe(false);
    expect(createStreamInspector('responses').inspect(wire({ type: 'error', code: 'rate_limit_exceeded', message: 'slow', param: null })).error).toMatchObject({ message: 'slow', status: 429 });
  });

  test.each([
    [{ type: 'response.function_call_arguments.delta', delta: '{' }, true],
    [{ type: 'response.output_item.added', item: { type: 'function_call', name: 'f' } }, true],
    [{ type: 'response.output_item.added', item: { type: 'reasoning' } }, false],
    [{ type: 'response.reasoning_summary_text.delta', delta: 'hm' }, true],
    [{ type: 'response.refusal.delta', delta: 'No' }, true],
    [{ type: 'response.output_text.delta', delta: '' }, false],
    [{ type: 'response.in_progress', response: {} }, false],
  ])('%j: content is %s', (value, hasContent) => {
    const inspector = createStreamInspector('responses', { collectText: true });
    expect(inspector.inspect(wire(value)).hasContent).toBe(hasContent);
    if (hasContent) expect(inspector.canContinue()).toBe(false);
  });

  test.each(['{}', '[]', 'x', '{"type":"response.completed"}'])('%s is malformed', (data) => {
    expect(createStreamInspector('responses').inspect({ event: '', data }).malformed).toBe(true);
  });
});

describe('usageOfReply', () => {
  test('each format has its own names for the same tokens', () => {
    const sum = { promptTokens: 3, completionTokens: 4, totalTokens: 7 };
    expect(usageOfReply('chat', { usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 } })).toEqual({ ...noUsage, ...sum });
    expect(usageOfReply('responses', { usage: { input_tokens: 3, output_tokens: 4 } })).toEqual({ ...noUsage, ...sum });
    expect(usageOfReply('messages', { usage: { input_tokens: 1, cache_read_input_tokens: 2, output_tokens: 4 } })).toEqual({ ...noUsage, ...sum, cachedTokens: 2 });
    expect(usageOfReply('embeddings', { usage: { prompt_tokens: 3, total_tokens: 3 } })).toEqual({ ...noUsage, promptTokens: 3, totalTokens: 3 });
    expect(usageOfReply('chat', {})).toBeUndefined();
    expect(usageOfReply('chat', 'text')).toBeUndefined();
  });

  test('reasoning that a provider left out of completion_tokens is put in, because it is billed', () => {
    const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 45, completion_tokens_details: { reasoning_tokens: 30 } };
    expect(usageOfReply('chat', { usage })).toMatchObject({ completionTokens: 35, reasoningTokens: 30, totalTokens: 45 });
  });

  test('nonsense counts as nothing', () => {
    expect(usageOfReply('chat', { usage: { prompt_tokens: -1, completion_tokens: 'x', total_tokens: null } })).toEqual(noUsage);
  });

  test.each([1e308, Infinity, 2 ** 31, -5])('%d tokens are no count: what was really used is counted here', (absurd) => {
    const details = { cached_tokens: absurd, audio_tokens: absurd };
    expect(usageOfReply('chat', { usage: { prompt_tokens: absurd, completion_tokens: 4, total_tokens: absurd, prompt_tokens_details: details } })).toEqual({ ...noUsage, completionTokens: 4, totalTokens: 4 });
    expect(usageOfReply('responses', { usage: { input_tokens: 3, output_tokens: absurd, output_tokens_details: { reasoning_tokens: absurd } } })).toEqual({ ...noUsage, promptTokens: 3, totalTokens: 3 });
    expect(usageOfReply('messages', { usage: { input_tokens: 3, cache_read_input_tokens: absurd, output_tokens: absurd } })).toEqual({ ...noUsage, promptTokens: 3, totalTokens: 3 });
    const inspector = createStreamInspector('messages');
    inspector.inspect({ event: '', data: '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}' });
    inspector.inspect({ event: '', data: `{"type":"message_delta","delta":{},"usage":{"output_tokens":${absurd === Infinity ? '1e999' : String(absurd)}}}` });
    expect([inspector.unreported.text, inspector.unreported.reportedTokens, inspector.usage()?.completionTokens]).toEqual(['Hello', 0, 0]);
  });

  test('parts of a token are not counted: a ledger holds whole ones', () => {
    expect(usageOfReply('chat', { usage: { prompt_tokens: 3.7, completion_tokens: 0.5 } })).toEqual({ ...noUsage, promptTokens: 3, totalTokens: 3 });
  });
});

test('an event built for a client is read back by an inspector', () => {
  expect(createStreamInspector('messages').inspect(typedEvent({ type: 'message_stop' })).isTerminal).toBe(true);
});
