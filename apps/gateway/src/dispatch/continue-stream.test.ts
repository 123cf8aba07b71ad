import { AppError } from '@pointsman/errors';
import type { WireFormat } from '@pointsman/providers';
import type { JsonObject } from '@pointsman/schemas';
import { createStreamInspector } from '@pointsman/wire-formats';
import { expect, test } from 'vitest';
import { chunk, dataOf, FakeProvider } from '../fake-gateway.fixture.ts';
import { Attempt } from './attempt.ts';
import { continuationBody, continuationOf, ContinuedReply, type Continuation } from './continue-stream.ts';
import { PassThroughReply, type ReplyShape } from './reply-shape.ts';

const passThrough = new PassThroughReply({ format: 'chat', requestedModel: 'chat', wantsUsage: false, requestId: 'r' });

function attemptThatSaid(events: readonly JsonObject[], { format = 'chat', choices = 1, shape = passThrough, stream = true }: { format?: WireFormat; choices?: number; shape?: ReplyShape; stream?: boolean } = {}): Attempt {
  const provider = new FakeProvider(() => undefined);
  const attempt = new Attempt({
    provider, format, choices, collectText: true, shape,
    request: { format, body: {}, rawBody: undefined, stream, headers: {}, headersTimeoutMs: 1, idleTimeoutMs: 1 },
    listener: { onReply: () => undefined, onText: () => true, onComplete: () => undefined, onFailed: () => undefined },
  });
  attempt.start();
  provider.calls[0]?.events(...events);
  return attempt;
}

test('one choice of plain text can be continued: its text, its id, its shape', () => {
  const attempt = attemptThatSaid([chunk({ role: 'assistant' }), chunk({ content: 'Once ' }), chunk({ content: 'upon' })]);
  expect(continuationOf(attempt, undefined)).toEqual({ text: 'Once upon', shape: passThrough, replyId: 'chatcmpl-1' });
});

test.each<[string, Attempt]>([
  ['a tool call', attemptThatSaid([chunk({ content: 'a' }), chunk({ tool_calls: [{ index: 0, id: 't', function: { name: 'f', arguments: '{' } }] })])],
  ['reasoning', attemptThatSaid([chunk({ reasoning_content: 'hm' })])],
  ['several choices', attemptThatSaid([chunk({ content: 'a' })], { choices: 2 })],
  ['another format', attemptThatSaid([{ choices: [{ index: 0, text: 'a' }] }], { format: 'completions' })],
  ['no stream', attemptThatSaid([], { stream: false })],
])('%s cannot be continued', (_name, attempt) => {
  expect(continuationOf(attempt, undefined)).toBeUndefined();
});

test('a continuation that breaks is continued with all the text so far, under the first id and shape', () => {
  const earlier: Continuation = { text: 'Once ', shape: passThrough, replyId: 'chatcmpl-first' };
  const attempt = attemptThatSaid([chunk({ content: 'upon' })], { shape: new ContinuedReply(earlier) });
  const next = continuationOf(attempt, earlier);
  expect(next).toEqual({ text: 'Once upon', shape: passThrough, replyId: 'chatcmpl-first' });
  expect(next?.shape).toBe(passThrough);
});

test('the rest is asked for with the partial answer as the last message, and the client\'s body stays as it was', () => {
  const body: JsonObject = { model: 'chat', stream: true, messages: [{ role: 'user', content: 'tell' }] };
  const before = structuredClone(body);
  const continuation = { text: 'Once', shape: passThrough, replyId: undefined };
  expect(continuationBody(body, continuation, 'openai')).toEqual({ ...before, messages: [{ role: 'user', content: 'tell' }, { role: 'assistant', content: 'Once' }] });
  expect(body).toEqual(before);
});

test.each(['mistral', 'deepseek'])('%s wants the partial answer marked as a beginning', (provider) => {
  const { messages } = continuationBody({ messages: [] }, { text: 'Once', shape: passThrough, replyId: undefined }, provider);
  expect(messages).toEqual([{ role: 'assistant', content: 'Once', prefix: true }]);
});

test('the client sees one answer: one id, one role, one end', () => {
  const shape = new ContinuedReply({ text: 'Once', shape: passThrough, replyId: 'chatcmpl-first' });
  const inspector = createStreamInspector('chat');
  const second = [chunk({ role: 'assistant', content: '' }), chunk({ role: 'assistant', content: ' upon' }), chunk({}, 'stop')].map((value) => ({ ...value, id: 'chatcmpl-second' }));
  const text = second.map((value) => {
    const event = { event: '', data: JSON.stringify(value) };
    return shape.event(event, inspector.inspect(event));
  }).join('') + shape.event({ event: '', data: '[DONE]' }, inspector.inspect({ event: '', data: '[DONE]' })) + shape.finish();
  expect(dataOf(text)).toEqual([
    { ...chunk({ content: ' upon' }), id: 'chatcmpl-first', model: 'chat' },
    { ...chunk({}, 'stop'), id: 'chatcmpl-first', model: 'chat' },
    '[DONE]',
  ]);
});

test('a continuation that fails ends with the error frame of the first shape', () => {
  const error = new AppError('upstream_failed', 'provider_truncated', 'It broke.');
  expect(new ContinuedReply({ text: '', shape: passThrough, replyId: undefined }).fail(error)).toBe(passThrough.fail(error));
});
