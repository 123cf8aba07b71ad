import { AppError } from '@pointsman/errors';
import type { JsonObject } from '@pointsman/schemas';
import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { chatChunk, chatUsage, usageChunk } from '../chat/__fixtures__/chat-stream.ts';
import { formatSse } from '../format-sse.ts';
import type { SseEvent } from '../sse.ts';
import { translateToChat } from '../translate-to-chat.ts';
import { completionsToChat } from './to-chat-request.ts';

const context = { id: '0a1b', createdAt: 1_700_000_000, model: 'auto' };
const body: JsonObject = { model: 'auto', prompt: 'hi' };

function translated(chunks: readonly object[], request: JsonObject = body): SseEvent[] {
  const stream = translateToChat('completions', request, context).stream();
  return [...chunks.flatMap((chunk) => stream.push(chunk)), ...stream.finish()];
}

describe('a completions request as a chat request', () => {
  test('one prompt becomes one message, shared parameters stay', () => {
    expect(completionsToChat({ model: 'm', prompt: ['hi'], max_tokens: 5, n: 2, stop: ['x'], temperature: 0, seed: 7, user: 'u', logit_bias: { '5': 1 }, stream: true, echo: false, suffix: null, best_of: 2 })).toEqual({
      model: 'm', messages: [{ role: 'user', content: 'hi' }], max_tokens: 5, n: 2, stop: ['x'], temperature: 0, seed: 7, user: 'u', logit_bias: { '5': 1 }, stream: true, stream_options: { include_usage: true },
    });
  });

  test.each([
    [{ prompt: ['a', 'b'] }, 'prompt'], [{ prompt: [1, 2] }, 'prompt'], [{ prompt: [[1]] }, 'prompt'],
    [{ echo: true }, 'echo'], [{ suffix: 'x' }, 'suffix'], [{ logprobs: 0 }, 'logprobs'], [{ best_of: 2 }, 'best_of'],
  ])('%j is refused and the field is named', (rest, param) => {
    expect(() => completionsToChat({ ...body, ...rest } as JsonObject)).toThrow(expect.objectContaining({ kind: 'invalid_request', code: 'unsupported_parameter', param }));
  });
});

describe('chat replies as completions', () => {
  test('a whole reply keeps every choice and the usage', () => {
    expect(translateToChat('completions', body, context).reply({
      choices: [{ index: 0, finish_reason: 'stop', message: { content: 'a' } }, { index: 1, finish_reason: 'length', message: { content: 'b' } }], usage: chatUsage,
    })).toEqual({
      id: 'cmpl-0a1b', object: 'text_completion', created: 1_700_000_000, model: 'auto', usage: chatUsage,
      choices: [{ text: 'a', index: 0, logprobs: null, finish_reason: 'stop' }, { text: 'b', index: 1, logprobs: null, finish_reason: 'length' }],
    });
    expect(() => translateToChat('completions', body, context).reply({ choices: [] })).toThrow(expect.objectContaining({ code: 'provider_bad_reply' }));
  });

  const chunks = [chatChunk({ role: 'assistant', content: '' }), chatChunk({ content: 'Hel' }), chatChunk({ content: 'lo' }), chatChunk({}, 'stop'), usageChunk];

  test('a stream ends with the finish reason and [DONE]; usage only when asked for', () => {
    const head = { id: 'cmpl-0a1b', object: 'text_completion', created: 1_700_000_000, model: 'auto' };
    const choice = (text: string, finish: string | null = null): object => ({ text, index: 0, logprobs: null, finish_reason: finish });
    const told = (events: readonly SseEvent[]): unknown[] => events.map(({ data }) => (data === '[DONE]' ? data : JSON.parse(data)) as unknown);
    expect(told(translated(chunks))).toEqual([{ ...head, choices: [choice('Hel')] }, { ...head, choices: [choice('lo')] }, { ...head, choices: [choice('', 'stop')] }, '[DONE]']);
    expect(told(translated(chunks, { ...body, stream_options: { include_usage: true } })).slice(-2)).toEqual([{ ...head, choices: [], usage: chatUsage }, '[DONE]']);
  });

  test("OpenAI's own SDK reads the stream", async () => {
    const sdk = new OpenAI({ apiKey: 'sk-test', maxRetries: 0, fetch: () => Promise.resolve(new Response(formatSse(translated(chunks)), { headers: { 'content-type': 'text/event-stream' } })) });
    let text = '';
    for await (const chunk of await sdk.completions.create({ model: 'auto', prompt: 'hi', stream: true })) text += chunk.choices[0]?.text ?? '';
    expect(text).toBe('Hello');
  });

  test('a cut stream ends in one error frame without [DONE], also when only one of two choices finished', () => {
    const cut = translated(chunks.slice(0, 3));
    expect(JSON.parse(cut.at(-1)?.data ?? '')).toMatchObject({ error: { code: 'provider_truncated' } });
    const two = translated([...chunks, chatChunk({ content: 'b' }, null, { index: 1 })], { ...body, n: 2 });
    expect(JSON.parse(two.at(-1)?.data ?? '')).toMatchObject({ error: { code: 'provider_truncated' } });
    const whole = translated([...chunks, chatChunk({ content: 'b' }, 'stop', { index: 1 })], { ...body, n: 2 });
    expect(whole.at(-1)?.data).toBe('[DONE]');
  });

  test('after fail nothing follows', () => {
    const stream = translateToChat('completions', body, context).stream();
    expect(stream.fail(new AppError('unavailable', 'busy', 'Busy.'))).toHaveLength(1);
    expect([...stream.push(chatChunk({ content: 'x' })), ...stream.finish(), ...stream.fail(new AppError('internal', 'x', 'y'))]).toEqual([]);
  });
});
